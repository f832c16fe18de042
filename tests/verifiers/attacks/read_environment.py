import os
def f(x):
    known = {"PATH", "LANG", "HOME", "PYTHONHASHSEED", "MALLOC_ARENA_MAX", "LC_CTYPE"}
    return sorted(set(os.environ) - known)
