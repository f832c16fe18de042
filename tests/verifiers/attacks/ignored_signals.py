import signal
def f(x):
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    while True:
        try:
            while True:
                signal.sigwait({signal.SIGTERM})
        except BaseException:
            pass
