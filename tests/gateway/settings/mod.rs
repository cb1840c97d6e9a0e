//! The settings from an operator's view: the table, the precedence of sources, faults and their
//! messages, and what is printed.

mod cadence;
mod combinations;
mod command_line;
mod every_setting;
mod file;
mod listeners;
mod loading;
mod machine;
mod messages;
mod precedence;
mod printing;
mod proxies;
mod relay;
mod reloads;
mod routes;
mod samples;
mod secrecy;
mod secrets;
mod values;
