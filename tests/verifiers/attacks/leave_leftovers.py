import builtins, json, math, os, sys, random
def f(x):
    for path in ("/tmp/leftover", "/dev/shm/leftover", "/var/tmp/leftover", "/leftover"):
        try:
            with open(path, "w") as file:
                file.write("leftover")
        except OSError:
            pass
    builtins.leftover = math.leftover = sys.leftover = True
    json.dumps = None
    math.sqrt = None
    os.environ["LEFTOVER"] = "1"
    return x + 1
