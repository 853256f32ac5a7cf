"""The exercises of the book, a module for each chapter."""
