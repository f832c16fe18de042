class Hostile(BaseException):
    def __str__(self):
        raise Hostile
    __repr__ = __str__
    def __getattribute__(self, name):
        raise Hostile
def f(x):
    raise Hostile
