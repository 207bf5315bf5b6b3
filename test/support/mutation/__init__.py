"""Mutation testing: faults put into the code, one at a time, that the tests have to notice (`make mutation`)."""
