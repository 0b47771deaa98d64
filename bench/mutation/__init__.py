"""Mutation testing: would the tests notice if the code were a little wrong?"""
