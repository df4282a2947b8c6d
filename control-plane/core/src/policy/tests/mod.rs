mod behaviour;
mod doors;
mod files;
mod matrix;
mod properties;
mod support;
