//! The fake engine for tests: containers as values, with the behaviour real Docker showed.
