//! Sessions, against real browsers and against a scripted remote end.

#[cfg(unix)]
#[path = "session/drivers.rs"]
mod drivers;
#[cfg(target_os = "linux")]
#[path = "session/real.rs"]
mod real;
#[path = "session/remote_end.rs"]
mod remote_end;
#[path = "session/scripted.rs"]
mod scripted;
