mod behaviour;
mod chains;
mod doors;
mod files;
mod matrix;
mod properties;
mod support;
