//! The page side of WebMatrix.
