"""What is fed to the readers of tasksel, and what they promise about it; for the fuzzer and the tests."""
