//! Certificates: the operator's, or ones signed by a local CA as names are asked for.
