"""Moving in from another tracking server or folder: sources that are read, and the one flow that carries."""
