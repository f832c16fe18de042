import socket, urllib.request
def f(port):
    loot = []
    def attempt(name, action):
        try:
            action()
            loot.append(name)
        except OSError:
            pass
    attempt("loopback", lambda: socket.create_connection(("127.0.0.1", port), 1))
    attempt("loopback 6", lambda: socket.create_connection(("::1", port), 1))
    attempt("outside", lambda: socket.create_connection(("1.1.1.1", 53), 1))
    attempt("name", lambda: socket.getaddrinfo("example.com", 80))
    attempt("page", lambda: urllib.request.urlopen("http://127.0.0.1:%d/" % port, timeout=1))
    for family in range(0, 46):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            attempt(("socket", family, kind), lambda: socket.socket(family, kind))
    return loot
