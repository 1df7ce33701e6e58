#ifndef HOLDFAST_ENGINE_RAFT_STATS_H_
#define HOLDFAST_ENGINE_RAFT_STATS_H_

#include <cstdint>

namespace holdfast {

// How often a core took each of its rare paths since it was made. For status
// pages, and for the simulator, whose campaigns must reach them all.
struct CoreStats {
  // Log.
  uint64_t log_conflict_cut = 0;     // a follower cut a suffix
  uint64_t append_refused_gap = 0;   // the entry before is beyond the log
  uint64_t append_refused_term = 0;  // the entry before has another term
  uint64_t append_duplicate = 0;     // accepted, held nothing new
  uint64_t backtrack = 0;            // a leader moved a follower's next back
  uint64_t resent = 0;               // a lost append was sent again
  uint64_t nudged = 0;               // an acknowledgement asked for again
  uint64_t cold_read = 0;            // appends for a follower read from disk
  uint64_t cold_read_stale = 0;      // its result came for another term
  uint64_t cold_read_failed = 0;
  uint64_t commit_notice = 0;           // a heartbeat sent early for its commit
  uint64_t commit_before_own_disk = 0;  // the others' disks were faster
  uint64_t checkpoint_needed = 0;       // by a follower far behind
  uint64_t checkpoint_installed = 0;    // in the place of this server's log
  uint64_t checkpoint_not_needed = 0;   // the log had come so far meanwhile
  // Elections.
  uint64_t election_timeout = 0;
  uint64_t pre_vote_started = 0;
  uint64_t pre_vote_lost = 0;
  uint64_t election_started = 0;
  uint64_t election_won = 0;
  uint64_t election_lost = 0;
  uint64_t leader_lost = 0;  // the connection to the leader broke
  uint64_t vote_granted = 0;
  uint64_t vote_refused_stale_term = 0;
  uint64_t vote_refused_already_voted = 0;
  uint64_t vote_refused_log_behind = 0;
  uint64_t vote_refused_leader_alive = 0;
  uint64_t pre_vote_granted = 0;
  uint64_t pre_vote_refused_stale_term = 0;
  uint64_t pre_vote_refused_already_voted = 0;
  uint64_t pre_vote_refused_log_behind = 0;
  uint64_t pre_vote_refused_leader_alive = 0;
  uint64_t stepped_down_higher_term = 0;
  uint64_t stepped_down_check_quorum = 0;
  uint64_t stepped_down_disk_stall = 0;
  uint64_t stepped_down_removed = 0;
  uint64_t candidacy_given_up_disk_stall = 0;
  uint64_t candidacy_put_off_vote = 0;     // its last one isn't durable yet
  uint64_t vote_refused_promise = 0;       // of a leader's lease
  uint64_t candidacy_put_off_promise = 0;  // likewise
  uint64_t transfer_started = 0;
  uint64_t transfer_given_up =
      0;  // the other didn't catch up, or stand, or win
  uint64_t transfer_election = 0;  // stood because the leader said so
  // Messages.
  uint64_t message_malformed = 0;
  uint64_t message_stale_term = 0;     // of an older term
  uint64_t message_out_of_place = 0;   // of this term, but no use for it
  uint64_t stale_leader_answered = 0;  // an old leader was told the new term
  uint64_t withheld_sent = 0;          // waited for the disk, then went out
  uint64_t withheld_dropped = 0;       // waited for the disk in vain
  uint64_t withheld_merged = 0;        // an acknowledgement covered by a later
  // Proposals and reads.
  uint64_t proposal_rejected = 0;       // not leader
  uint64_t configuration_rejected = 0;  // one is under way, or too early
  uint64_t read_waited_for_term = 0;    // the leader had no commit in its term
  uint64_t read_joined_next_round = 0;
  uint64_t read_rejected = 0;  // not leader
  uint64_t read_failed = 0;    // leadership was lost while it waited
  uint64_t read_by_lease = 0;
  uint64_t read_without_lease = 0;  // leases are on, but none was held

  // visit(const char* name, uint64_t value), in the order above.
  template <typename Visit>
  void ForEach(Visit visit) const {
    visit("log_conflict_cut", log_conflict_cut);
    visit("append_refused_gap", append_refused_gap);
    visit("append_refused_term", append_refused_term);
    visit("append_duplicate", append_duplicate);
    visit("backtrack", backtrack);
    visit("resent", resent);
    visit("nudged", nudged);
    visit("cold_read", cold_read);
    visit("cold_read_stale", cold_read_stale);
    visit("cold_read_failed", cold_read_failed);
    visit("commit_notice", commit_notice);
    visit("commit_before_own_disk", commit_before_own_disk);
    visit("checkpoint_needed", checkpoint_needed);
    visit("checkpoint_installed", checkpoint_installed);
    visit("checkpoint_not_needed", checkpoint_not_needed);
    visit("election_timeout", election_timeout);
    visit("pre_vote_started", pre_vote_started);
    visit("pre_vote_lost", pre_vote_lost);
    visit("election_started", election_started);
    visit("election_won", election_won);
    visit("election_lost", election_lost);
    visit("leader_lost", leader_lost);
    visit("vote_granted", vote_granted);
    visit("vote_refused_stale_term", vote_refused_stale_term);
    visit("vote_refused_already_voted", vote_refused_already_voted);
    visit("vote_refused_log_behind", vote_refused_log_behind);
    visit("vote_refused_leader_alive", vote_refused_leader_alive);
    visit("pre_vote_granted", pre_vote_granted);
    visit("pre_vote_refused_stale_term", pre_vote_refused_stale_term);
    visit("pre_vote_refused_already_voted", pre_vote_refused_already_voted);
    visit("pre_vote_refused_log_behind", pre_vote_refused_log_behind);
    visit("pre_vote_refused_leader_alive", pre_vote_refused_leader_alive);
    visit("stepped_down_higher_term", stepped_down_higher_term);
    visit("stepped_down_check_quorum", stepped_down_check_quorum);
    visit("stepped_down_disk_stall", stepped_down_disk_stall);
    visit("stepped_down_removed", stepped_down_removed);
    visit("candidacy_given_up_disk_stall", candidacy_given_up_disk_stall);
    visit("candidacy_put_off_vote", candidacy_put_off_vote);
    visit("vote_refused_promise", vote_refused_promise);
    visit("candidacy_put_off_promise", candidacy_put_off_promise);
    visit("transfer_started", transfer_started);
    visit("transfer_given_up", transfer_given_up);
    visit("transfer_election", transfer_election);
    visit("message_malformed", message_malformed);
    visit("message_stale_term", message_stale_term);
    visit("message_out_of_place", message_out_of_place);
    visit("stale_leader_answered", stale_leader_answered);
    visit("withheld_sent", withheld_sent);
    visit("withheld_dropped", withheld_dropped);
    visit("withheld_merged", withheld_merged);
    visit("proposal_rejected", proposal_rejected);
    visit("configuration_rejected", configuration_rejected);
    visit("read_waited_for_term", read_waited_for_term);
    visit("read_joined_next_round", read_joined_next_round);
    visit("read_rejected", read_rejected);
    visit("read_failed", read_failed);
    visit("read_by_lease", read_by_lease);
    visit("read_without_lease", read_without_lease);
  }
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_STATS_H_
