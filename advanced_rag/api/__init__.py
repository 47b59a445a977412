"""HTTP and nothing else: parse a request, call one service method, render its answer or its error."""
