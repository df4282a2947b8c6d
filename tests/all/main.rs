//! All integration tests, in one binary: one link, one cluster.

mod cluster;
mod differential;
<<<<<<< HEAD
mod stories;
=======
mod preconditions;
>>>>>>> main
mod tidy;
