//! `cargo rig`: the one command that sets up a machine, builds, demos, tests and benches Wavry.

use std::process::ExitCode;

use wavry_rig::args::{self, Command};
use wavry_rig::{
    abuse, arm, bench, board, coverage, demo, dist, fuzz, mutate, say, setup, stages, trials, vm,
};

fn main() -> ExitCode {
    let outcome = args::parse(std::env::args_os().skip(1)).and_then(|command| match command {
        Command::Help(topic) => {
            say::result(args::help(topic));
            Ok(())
        }
        Command::Setup(options) => setup::run(options, &[&setup::BUILD]),
        Command::Test(options) => stages::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Vm(options) => vm::run(&options),
        Command::Fuzz(options) => fuzz::run(&options).map(|_| ()),
        Command::Board(options) => board::run(&options),
        Command::Flash(options) => board::flash(&options),
        Command::Sizes(options) => board::sizes(options),
        Command::Trials(options) => trials::run(&options),
        Command::Coverage(options) => coverage::run(options),
        Command::Arm(options) => arm::run(options),
        Command::Mutate(words) => mutate::run(&words),
        Command::Abuse => abuse::run(),
        Command::Dist(options) => dist::run(options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say::failure(&failure);
            ExitCode::from(failure.exit)
        }
    }
}
