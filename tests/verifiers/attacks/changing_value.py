class Changing:
    count = 0
    def __getattribute__(self, name):
        Changing.count += 1
        return object.__getattribute__(self, name)
    def __iter__(self):
        Changing.count += 1
        return iter(range(Changing.count))
    def __eq__(self, other):
        Changing.count += 1
        return Changing.count % 2 == 1
def f(x):
    return Changing()
