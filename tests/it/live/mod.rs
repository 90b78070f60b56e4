//! `watch`, and cells that are edited: in a copy of the project, never in the working tree.

#![cfg(unix)]

mod browser;
mod copy;
mod edit;
mod server;
