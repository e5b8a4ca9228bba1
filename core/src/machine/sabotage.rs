//! Rules that can be broken on purpose, one at a time, so that the simulation can show that it notices. Only with the
//! feature `sabotage`, which no build for users has.

/// The rule to break.
#[cfg_attr(not(feature = "sabotage"), expect(unreachable_pub, reason = "exported with the feature only"))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// None.
    #[default]
    None,
    /// Hands out what a resume repeats.
    ReplayFilter,
    /// Moves the checkpoint with each page of a snapshot.
    CheckpointWhileLoading,
    /// Believes the position that a server tells at a resume before the changes up to it have come.
    CheckpointFromServer,
    /// Resumes live rows at servers that do not tell what was deleted.
    ResumeAnywhere,
    /// Gives every incarnation of a subscription the same id.
    WireIds,
    /// Waits for ever for an answer to a ping.
    PongDeadline,
    /// Sends as much as there is.
    Pacing,
}

#[cfg(feature = "sabotage")]
impl Sabotage {
    /// Every rule that can be broken.
    pub const ALL: [Self; 7] = [
        Self::ReplayFilter,
        Self::CheckpointWhileLoading,
        Self::CheckpointFromServer,
        Self::ResumeAnywhere,
        Self::WireIds,
        Self::PongDeadline,
        Self::Pacing,
    ];
}
