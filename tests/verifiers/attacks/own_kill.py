# Nothing within can make this look like a kill from outside, which would not count.
import ctypes, fcntl, os, resource, signal
def f(x):
    libc = ctypes.CDLL(None, use_errno=True)
    class Event(ctypes.Structure):
        _fields_ = [("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("notify", ctypes.c_int), ("rest", ctypes.c_char * 48)]
    class Times(ctypes.Structure):
        _fields_ = [("fields", ctypes.c_long * 4)]
    timer = ctypes.c_void_p()
    def later():
        event = Event(None, signal.SIGKILL, 0, b"")
        libc.timer_create(0, ctypes.byref(event), ctypes.byref(timer))
        libc.timer_settime(timer, 0, ctypes.byref(Times((0, 0, 0, 1000))), None)
    def by_a_pipe():
        read, write = os.pipe()
        fcntl.fcntl(read, 10, signal.SIGKILL)
        fcntl.fcntl(read, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
        os.write(write, b"x")
    def by_a_child():
        if os.fork() == 0:
            os.kill(os.getppid(), signal.SIGKILL)
            os._exit(0)
    for action in (lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: signal.pthread_kill(__import__("threading").get_ident(), signal.SIGKILL),
                   later, by_a_pipe, by_a_child, lambda: resource.setrlimit(resource.RLIMIT_CPU, (1, 1)), lambda: libc.prctl(1, signal.SIGKILL)):
        try:
            action()
        except (OSError, ValueError):
            pass
    while True:
        pass
