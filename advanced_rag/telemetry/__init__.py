"""What the service tells its operators: metrics, log lines and the identity of the request they belong to."""
