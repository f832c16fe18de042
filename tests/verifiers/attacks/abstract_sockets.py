import socket
def f(name):
    loot = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        except OSError:
            continue
        for end in (ours, theirs):
            for action in (lambda: end.connect("\0" + name), lambda: end.bind("\0mine"), lambda: end.sendto(b"x", "\0" + name)):
                try:
                    action()
                    loot.append(int(kind))
                except OSError:
                    pass
    return loot
