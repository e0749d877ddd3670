"""What the programs of progs/ promise, tested on the kernel.

http.py and routing.py hold what several test files hold programs to: rows of packets, a decision
written a second time, and the properties that right programs have and faulty twins lack.
"""
