// Colours that are told apart without seeing red and green (Okabe and Ito's,
// mostly), and what can be hidden.

const INK = "#1f2933";
const SOFT = "#5b6773";
const FAINT = "#8b96a1";
const GRID = "#eceff1";
const BROKEN = "#c4420c";
const FAULT = "#7d2250";
const FONT = getComputedStyle(document.body).fontFamily;

// By ServerLooks.
const LOOKS = [
  {fill: null, ink: FAINT},            // down
  {fill: "#eef1f3", ink: SOFT},        // not formed
  {fill: "#c8d3dc", ink: INK},         // follower
  {fill: "#e4e9ed", ink: SOFT},        // learner
  {fill: "#f6dfae", ink: INK},         // pre-candidate
  {fill: "#e69f00", ink: INK},         // candidate
  {fill: "#0072b2", ink: "#ffffff"},   // leader
];

// By MessageGroup.
const GROUPS = [
  {color: "#0072b2"},                  // append
  {color: "#a9b4be"},                  // heartbeat
  {color: "#d08a00"},                  // vote
  {color: "#38a3dd"},                  // read index
  {color: "#d9822b"},                  // repair
  {color: "#b8579a"},                  // checkpoint
  {color: "#00835f"},                  // client
  {color: "#c2b8a3"},                  // hello, ping
  {color: "#6a51a3"},                  // TLS record
];

const CALLS = {
  append: "#00835f", read: "#38a3dd", tail: "#c9d1d8",
  put: "#00835f", get: "#38a3dd",
};
// What was slow or cut off, then by DISK_TONES.
const DISK = [FAULT, "#b3bcc4", "#6a7680", "#d5dbe0", "#d5dbe0"];
const DISK_TONES = {write: 1, sync: 2, read: 3};
// A disk operation longer than this is remarkable.
const SLOW_DISK = 25e6;

// What the legend turns on and off.
const shown = {
  group: GROUPS.map(() => true), lost: true, disk: true, commit: true,
  calls: true, kv: false, faults: true, cuts: true, notes: true, events: true,
};
