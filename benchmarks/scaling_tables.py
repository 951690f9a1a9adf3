"""Tables."""


def print_tables(x):
    pass
