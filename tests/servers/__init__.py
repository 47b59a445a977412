"""Real servers for the tests: started on free ports in a folder of their own, faulted at will, ended by pid."""
