"""What runs in the queue."""


def add(a, b, task_key):
    return a + b


def fail(task_key):
    raise ValueError("the price is\nwrong")


def return_no(task_key):
    return "no"
