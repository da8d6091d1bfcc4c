"""`eventwriter migrate`: versioned SQL files, the plan and its runner."""
