"""One detector for each way a value shows itself: by its shape, by the name of its field, by the words around it."""
