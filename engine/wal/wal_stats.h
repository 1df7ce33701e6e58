#ifndef HOLDFAST_ENGINE_WAL_WAL_STATS_H_
#define HOLDFAST_ENGINE_WAL_WAL_STATS_H_

#include <cstdint>

namespace holdfast {

// How often what happens rarely has happened.
struct WalStats {
  uint64_t segments_unread = 0;
  uint64_t torn_tails_cut = 0;
  uint64_t tails_rewritten = 0;
  uint64_t frames_behind_damage = 0;
  uint64_t leftovers_removed = 0;
  uint64_t hard_states_repaired = 0;
  uint64_t segments_damaged = 0;
  uint64_t segments_mended = 0;
  uint64_t entries_mended = 0;
  uint64_t entries_dropped = 0;      // that were damaged, and never committed
  uint64_t entries_given_ahead = 0;  // to others, of what a start hasn't passed
  uint64_t segments_in_part = 0;     // served so, for want of help
  uint64_t entries_lost = 0;         // that no server has
  uint64_t bytes_scrubbed = 0;
  uint64_t scrub_found = 0;     // damaged segments
  uint64_t scrub_unmarked = 0;  // ... and such as a start left without marks
  uint64_t marks = 0;
  uint64_t segments_begun = 0;
  uint64_t suffixes_cut = 0;
  uint64_t segments_dropped = 0;
  uint64_t resets = 0;
  uint64_t spare_waits = 0;
  uint64_t oversize_segments = 0;
  uint64_t groups = 0;
  uint64_t reads = 0;

  template <typename Fn>  // fn(name, value)
  void ForEach(Fn fn) const {
    fn("wal_segment_unread", segments_unread);
    fn("wal_torn_tail_cut", torn_tails_cut);
    fn("wal_tail_rewritten", tails_rewritten);
    fn("wal_frame_behind_damage", frames_behind_damage);
    fn("wal_leftover_removed", leftovers_removed);
    fn("wal_hard_state_repaired", hard_states_repaired);
    fn("wal_segment_damaged", segments_damaged);
    fn("wal_segment_mended", segments_mended);
    fn("wal_entry_mended", entries_mended);
    fn("wal_damaged_entry_dropped", entries_dropped);
    fn("wal_entry_given_ahead", entries_given_ahead);
    fn("wal_segment_served_in_part", segments_in_part);
    fn("wal_entry_lost", entries_lost);
    fn("wal_byte_scrubbed", bytes_scrubbed);
    fn("wal_scrub_found_damage", scrub_found);
    fn("wal_scrub_found_no_marks", scrub_unmarked);
    fn("wal_mark_written", marks);
    fn("wal_segment_begun", segments_begun);
    fn("wal_suffix_cut", suffixes_cut);
    fn("wal_segment_dropped", segments_dropped);
    fn("wal_reset", resets);
    fn("wal_spare_not_ready", spare_waits);
    fn("wal_oversize_segment", oversize_segments);
    fn("wal_group_written", groups);
    fn("wal_read", reads);
  }
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_WAL_STATS_H_
