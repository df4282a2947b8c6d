mod behaviour;
mod chains;
mod doors;
mod files;
mod hiding;
mod matrix;
mod properties;
mod support;
