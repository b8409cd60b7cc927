//! The real engine: Docker through bollard. Translates, decides nothing.
