//! A real holder as a process of its own, driven through its client: the test binary starts
//! itself again with [`support::HOLDER_MODE`] as its first argument.

#[cfg(test)]
mod activity;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod life;
#[cfg(test)]
mod support;
#[cfg(test)]
mod terminals;

use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

/// Longest any test may take.
const DEADLINE: Duration = Duration::from_mins(1);

type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => {
        vec![$($((stringify!($name), (|| Box::pin($module::$name())) as Test)),*),*]
    };
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == support::HOLDER_MODE) {
        return support::hold(&words);
    }
    let tests: Vec<(&str, Test)> = tests![
        activity:
            a_warning_reaches_all_viewers_and_only_typing_takes_it_back
            an_idle_stop_ends_everything_or_nothing
            commands_and_declared_work_are_work_until_they_end;
        commands:
            a_program_that_cannot_start_says_why
            dropping_a_command_ends_its_group_even_while_its_input_is_stuck
            exec_passes_the_exit_status_and_keeps_the_streams_apart
            exec_streams_input_and_output_unchanged
            signals_reach_a_command_and_a_grandchild_does_not_delay_its_end
            the_environment_is_clean_and_names_the_workspace;
        life:
            an_agent_that_was_killed_is_started_again
            leftovers_of_a_killed_holder_are_ended_by_the_next
            malformed_frames_harm_nobody_else
            nothing_is_started_while_a_workspace_is_being_stopped
            one_directory_has_one_holder_and_its_path_may_be_long
            stopping_finds_daemons_that_left_their_session;
        terminals:
            a_program_waits_for_a_viewer_that_is_slow
            a_viewer_that_takes_nothing_is_dropped_and_the_others_go_on
            a_workspace_has_a_bounded_number_of_terminals
            all_byte_values_survive_a_raw_terminal
            an_offset_beyond_the_end_is_refused_and_one_below_the_floor_is_a_gap
            bytes_below_the_floor_are_only_lost_while_nobody_watches
            closing_ends_the_program_and_is_repeatable
            ended_terminals_stay_listed_and_are_bounded
            exit_code_and_signal_of_a_terminal_are_told_after_the_last_byte
            reattaching_at_an_offset_continues_exactly_there
            sizes_reach_the_program_and_the_other_viewers
            two_viewers_get_all_output_in_order
            what_was_printed_just_before_the_end_is_not_lost;
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(support::within(DEADLINE, test()));
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
