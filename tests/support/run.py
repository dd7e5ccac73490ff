#!/usr/bin/env python3
"""Runs a file of unittest tests as python would, and ends with 77 when nothing failed and nothing ran: every test was
skipped, which ctest shows as Skipped.

    run.py TEST.py [options of unittest...]
"""
import os
import runpy
import sys
import unittest


class Program(unittest.main):
    def runTests(self):
        wanted, self.exit = self.exit, False
        super().runTests()
        # A class or module that is skipped as a whole is one skip, and no test that began.
        began = {str(test) for test, _ in self.result.skipped if isinstance(test, unittest.TestCase)}
        nothing = self.result.skipped and self.result.testsRun <= len(began)
        if wanted:
            sys.exit(77 if nothing and self.result.wasSuccessful() else not self.result.wasSuccessful())


if __name__ == "__main__":
    unittest.main = Program
    del sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
