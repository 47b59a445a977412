"""Pure: values in, values out. Nothing here awaits, reads a clock or knows a framework."""
