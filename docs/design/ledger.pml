/*
 * The ledger protocol: a JetStream consumer, two workers that pull from it, and PostgreSQL.
 *
 * ledger-model.md, beside this file, describes what is modelled, what is left out, and how to run it.
 *
 * Parameters, set with -D:
 *   MESSAGES     number of messages that are stored, at most 5 (default 4)
 *   PRESENT      how many of them are stored before the workers start; the others are stored at any time (default all)
 *   UNWANTED     messages that the consumer's filter does not match, as a bit set (default none)
 *   FAULTS       number of faults: a worker dies; the answer of a COMMIT, a delivery, or acks are lost; ack_wait
 *                expires while a worker still holds the message; the consumer is deleted (default 2)
 *   REGRESSIONS  how often the stream loses its end, 0 or 1 (default 0)
 *   STALE        how often a server answers with an older state of the stream (default 0)
 *   EXPIRIES     number of messages removed by the stream's limits (default 0)
 *   FLOOR_ACKS   acknowledge the contiguous floor (ack_policy: all) instead of each message
 *   FAULTS_END   let the faults end at any time, so that every number of faults up to the given ones is covered
 *                when checking that all messages are settled in the end
 *
 * Each step is a d_step, in which an `if` takes its first true guard.
 *
 * The other names tested with #ifdef are planted bugs, except ALLOW_FALSE_EPOCH, which drops one assertion.
 */

#ifndef MESSAGES
#define MESSAGES 4
#endif
#ifndef PRESENT
#define PRESENT MESSAGES
#endif
#ifndef UNWANTED
#define UNWANTED 0
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef REGRESSIONS
#define REGRESSIONS 0
#endif
#ifndef STALE
#define STALE 0
#endif
#ifndef EXPIRIES
#define EXPIRIES 0
#endif

/* Bit sets of messages and of stream sequences. A message's number is also its timestamp. */
#define MESSAGE(m)  (1 << ((m) - 1))
#define SEQUENCE(s) (1 << ((s) - 1))
#define UP_TO(n)    ((1 << (n)) - 1)
#define WANTED      (UP_TO(MESSAGES) & ~(UNWANTED))

/* The sequences of a set of messages. */
#define SEQUENCE_IF(set, m) ((((set) >> ((m) - 1)) & 1) << (sequence[m] - 1))
#define SEQUENCES(set) \
  (SEQUENCE_IF(set, 1) | SEQUENCE_IF(set, 2) | SEQUENCE_IF(set, 3) | SEQUENCE_IF(set, 4) | SEQUENCE_IF(set, 5))

/* The number of sequences from 1 on that are in a set without a gap. */
#define ALL_TO(set, s) (((set) & UP_TO(s)) == UP_TO(s))
#define PREFIX(set)    (ALL_TO(set, 1) + ALL_TO(set, 2) + ALL_TO(set, 3) + ALL_TO(set, 4) + ALL_TO(set, 5))

/* Whether a condition on a worker and a message holds for any message. */
#define ANY(condition, w) (condition(w, 1) || condition(w, 2) || condition(w, 3) || condition(w, 4) || condition(w, 5))

/* JetStream: a stream and one durable consumer. */
byte sequence[6] = 1;  /* the sequence of each message; two messages share one if the stream lost its end */
byte stored;           /* number of messages stored so far */
byte live;             /* messages in the stream */
byte end_seq;          /* the stream's last sequence */
byte delivered;        /* the highest sequence delivered by the consumer */
byte pending;          /* messages delivered and not acknowledged */
byte acked;            /* messages acknowledged, or below the start of a recreated consumer */
bool deleted;          /* the consumer does not exist */
#ifdef FLOOR_ACKS
byte ack_floor;        /* the highest sequence acknowledged */
#endif

/* PostgreSQL: committed data, and the locks on the ledger's rows. The ledger has one row for each epoch. */
byte rows;             /* messages whose rows (or dead letters) are in the database */
byte epoch;            /* the newest epoch; the ledger rows of older epochs are closed */
byte committed[2];     /* ledger: sequences whose messages are in the database */
byte last_seq[2];      /* ledger: the highest of them */
byte last_time[2];     /* ledger: the latest timestamp of their messages */
byte locked_by[2];     /* holder of the row's lock: 0 for none, a worker + 1, or IN_DOUBT */
byte in_doubt;         /* messages of a COMMIT that was sent over a broken connection and is not decided yet */
byte in_doubt_epoch;
#define IN_DOUBT 9

/* Workers. */
mtype = { IDLE, UPDATED, CUT, CLEAN, SUSPECT };
mtype phase[2] = IDLE;   /* UPDATED: in a transaction whose rows are copied and whose ledger update has succeeded */
mtype session[2] = CUT;  /* CUT: the stream must be compared with the ledger first; SUSPECT: it seems to have lost
                            its end, which is not proved */
byte open[2];            /* messages received and not sealed */
byte batch[2];           /* messages of the sealed batch, and unwanted messages that it covers */
byte to_ack[2];          /* messages settled and not acknowledged */
byte bound[2];           /* the epoch in which the worker writes */
byte earlier[2];         /* the earlier epoch's committed sequences, as read when binding */
byte earlier_time[2];    /* the earlier epoch's last_time, as read when binding */
#if UNWANTED
bool unbroken[2];        /* the worker has received every first delivery since its last one */
#endif
#ifdef FLOOR_ACKS
byte base[2];            /* the sequence up to which the worker knows that everything is settled */
#endif

/* What may still happen, and what has happened. */
byte faults = FAULTS;
byte stale = STALE;
byte expiries = EXPIRIES;
byte regressions;
#ifdef FAULTS_END
bool over;
#else
#define over false
#endif

hidden byte i, m, set;  /* scratch, used within one d_step only */

/* ---- Conditions ---- */

#define HELD(w)        (open[w] | batch[w])
#define HELD_BY_ANYONE (HELD(0) | HELD(1) | to_ack[0] | to_ack[1])
#define IN_BATCH(w, m) ((batch[w] & MESSAGE(m)) != 0)

#ifdef TIMESTAMP_IGNORED
#define KNOWN(w, m) (IN_BATCH(w, m) && ((committed[bound[w]] | earlier[w]) & SEQUENCE(sequence[m])) != 0)
#define PROOF(w, m) false
#else
/* A message is already written if its sequence is committed and its timestamp is not later than the ledger's. */
#define KNOWN(w, m) (IN_BATCH(w, m) && \
  (((committed[bound[w]] & SEQUENCE(sequence[m])) != 0 && m <= last_time[bound[w]]) || \
   ((earlier[w] & SEQUENCE(sequence[m])) != 0 && m <= earlier_time[w])))
/* A later message at a sequence that the ledger has passed proves that the stream lost its end. */
#define PROOF(w, m) (IN_BATCH(w, m) && sequence[m] <= last_seq[bound[w]] && m > last_time[bound[w]])
#endif

/* The stream has such a message at the ledger's last sequence. */
#define REPLACED(w, m) ((live & MESSAGE(m)) != 0 && sequence[m] == last_seq[bound[w]] && m > last_time[bound[w]])

#define BEYOND(w, m) (IN_BATCH(w, m) && sequence[m] > last_seq[bound[w]])
#define NEXT(w, m)   ((live & WANTED & MESSAGE(m)) != 0 && sequence[m] > delivered)
#define PULLS(w)     (session[w] != CUT && !deleted)

/* The ledger update waits for the row's lock and then evaluates its condition. */
#ifdef LEDGER_READ_THEN_WRITTEN
#define ROW_FREE(w) true
#else
#define ROW_FREE(w) (locked_by[bound[w]] == 0)
#endif

/* Opening an epoch updates the row of the epoch before, so it waits for that row's lock too. */
#ifdef EPOCH_OPENED_WITHOUT_LOCK
#define MAY_OPEN(w) true
#else
#define MAY_OPEN(w) (locked_by[bound[w]] == 0)
#endif
#ifdef TRUST_ONE_ANSWER
#define MAY_COMPARE(w) MAY_OPEN(w)
#else
#define MAY_COMPARE(w) (MAY_OPEN(w) || !ANY(REPLACED, w))
#endif
#define CHECKS(w) (session[w] == CUT && phase[w] == IDLE && (bound[w] < epoch || MAY_COMPARE(w)))

#if REGRESSIONS
#define WRITES(w) (phase[w] == IDLE && HELD(w) != 0 && ROW_FREE(w) && session[w] != CUT)
#else
#define WRITES(w) (phase[w] == IDLE && HELD(w) != 0 && ROW_FREE(w))
#endif

#ifdef FLOOR_ACKS
/* The sequence up to which everything is settled. */
#ifdef FLOOR_BEYOND_HOLE
#define FLOOR(w) MESSAGES
#elif defined(FLOOR_TRUSTS_EARLIER_EPOCH)
#define FLOOR(w) PREFIX(committed[bound[w]] | earlier[w] | SEQUENCES(to_ack[w]) | UP_TO(base[w]))
#else
#define FLOOR(w) PREFIX(committed[bound[w]] | SEQUENCES(to_ack[w]) | UP_TO(base[w]))
#endif
#define CAN_ACK(w, m) ((to_ack[w] & MESSAGE(m)) != 0 && sequence[m] <= FLOOR(w))
/* The floor in CONSUMER.INFO: JetStream moves it with an ack, and when nothing is pending. */
#define ACK_FLOOR (pending == 0 -> delivered : ack_floor)
/* Sequences below the ledger's last one, and in the stream's range, that hold no message for this consumer. */
#define VACANT(w) (UP_TO(end_seq) & UP_TO(last_seq[bound[w]]) & \
  ~(committed[bound[w]] | SEQUENCES(live & WANTED) | UP_TO(base[w])))
#define MAY_CLOSE(w) (phase[w] == IDLE && session[w] != CUT && bound[w] == epoch && locked_by[epoch] == 0)
#else
#define CAN_ACK(w, m) ((to_ack[w] & MESSAGE(m)) != 0)
#endif

#ifdef ACKS_SURVIVE_RECONNECT
#define ACKS(w) ANY(CAN_ACK, w)
#else
#define ACKS(w) (session[w] != CUT && ANY(CAN_ACK, w))
#endif

/* ---- Workers ---- */

inline drop_held(w) { open[w] = 0; batch[w] = 0 }

/* Close the ledger row of the worker's epoch and insert the row of the next one, in one transaction. */
inline open_epoch(w) {
  if
  :: bound[w] == epoch ->
#ifndef ALLOW_FALSE_EPOCH
    assert(epoch < regressions);  /* an epoch is opened only if the stream has lost its end */
#endif
    epoch++
  :: else  /* another worker has opened it */
  fi;
  session[w] = CUT
}

inline record(e, messages) {
  committed[e] = committed[e] | SEQUENCES(messages);
  for (i : 1 .. MESSAGES) {
    if
    :: (messages & MESSAGE(i)) != 0 && sequence[i] > last_seq[e] -> last_seq[e] = sequence[i]
    :: else
    fi;
    if
    :: (messages & MESSAGE(i)) != 0 && i > last_time[e] -> last_time[e] = i
    :: else
    fi
  }
  skip
}

inline write_rows(messages) {
  assert((rows & messages & WANTED) == 0);  /* each message's rows are written once */
  rows = rows | (messages & WANTED)
}

/* Make a transaction's effects visible. */
inline apply(e, messages) {
#ifndef LEDGER_UPDATE_LAST_IN_OWN_TRANSACTION
  write_rows(messages);
#endif
#ifndef LEDGER_UPDATE_FIRST_IN_OWN_TRANSACTION
  record(e, messages)
#endif
}

/*
 * Start behind the sequences that are committed without a gap, unless the stream seems to have lost its end: it may
 * give these sequences out again.
 */
inline recreate_consumer(w) {
  deleted = false;
#ifdef RECREATE_WHILE_SUSPECT
  delivered = PREFIX(committed[bound[w]]);
#elif defined(RECREATE_AFTER_FIRST_RANGE)
  delivered = committed[bound[w]];
  delivered = PREFIX(delivered | ((delivered & -delivered) - (delivered != 0)));
#else
  delivered = (session[w] == CLEAN -> PREFIX(committed[bound[w]]) : 0);
#endif
  for (i : 1 .. MESSAGES) {
    if
    :: (live & WANTED & MESSAGE(i)) != 0 && sequence[i] <= delivered ->
      assert((rows & MESSAGE(i)) != 0);  /* a recreated consumer skips nothing that is not committed */
      acked = acked | MESSAGE(i)
    :: else
    fi
  }
#ifdef FLOOR_ACKS
  ack_floor = delivered;
#endif
  skip
}

/* Bind to the newest epoch, and compare its ledger with the stream; the answer shows the stream up to `answer`. */
inline check_stream(w, answer) {
#ifndef ACKS_SURVIVE_RECONNECT
  to_ack[w] = 0;
#endif
  if
  :: bound[w] < epoch ->
    drop_held(w);
    bound[w] = epoch;
    earlier[w] = committed[epoch - 1];
    earlier_time[w] = last_time[epoch - 1]
  :: else
  fi;
#if UNWANTED
  unbroken[w] = false;
#endif
  m = 0;  /* the message found at the ledger's last sequence */
  for (i : 1 .. MESSAGES) {
    if
    :: (live & MESSAGE(i)) != 0 && sequence[i] == last_seq[bound[w]] && sequence[i] <= answer -> m = i
    :: else
    fi;
#ifndef HELD_SURVIVES_RECONNECT
    if  /* drop held messages that are not found in the stream; those that exist are delivered again */
    :: (HELD(w) & MESSAGE(i)) != 0 && ((live & MESSAGE(i)) == 0 || sequence[i] > answer) -> drop_held(w)
    :: else
    fi
#endif
  }
  if
#ifdef RECONNECT_WITHOUT_CHECK
  :: true -> session[w] = CLEAN
#else
  :: last_seq[bound[w]] > 0 && m > last_time[bound[w]] -> open_epoch(w)
#endif
#ifdef TRUST_ONE_ANSWER
  :: answer < last_seq[bound[w]] -> open_epoch(w)
#else
  :: answer < last_seq[bound[w]] -> session[w] = SUSPECT
#endif
  :: else -> session[w] = CLEAN
  fi;
  if
  :: deleted && session[w] != CUT -> recreate_consumer(w)
  :: else
  fi;
#ifdef FLOOR_ACKS
  base[w] = ACK_FLOOR;
#endif
  skip
}

/* Seal a batch if there is none, settle messages that are already written, and begin a transaction for the rest. */
inline write_batch(w) {
  if
  :: batch[w] == 0 -> batch[w] = open[w]; open[w] = 0
  :: else
  fi;
  set = 0;
  for (i : 1 .. MESSAGES) {
    if
    :: KNOWN(w, i) -> set = set | MESSAGE(i)
    :: else
    fi
  }
  if
  :: ANY(PROOF, w) -> open_epoch(w)
#ifndef SUSPECT_NOT_RESOLVED
  :: session[w] == SUSPECT && ANY(BEYOND, w) -> session[w] = CUT  /* ask again before writing */
#endif
  :: set != 0 -> to_ack[w] = to_ack[w] | (set & WANTED); batch[w] = batch[w] & ~set
#ifndef OLD_EPOCH_NOT_REJECTED
  :: bound[w] < epoch -> session[w] = CUT  /* the ledger row is closed: bind again */
#endif
  :: else ->
    locked_by[bound[w]] = w + 1;
    phase[w] = UPDATED;
#ifdef ACK_BEFORE_COMMIT
    to_ack[w] = to_ack[w] | (batch[w] & WANTED);
#endif
#ifdef LEDGER_UPDATE_FIRST_IN_OWN_TRANSACTION
    record(bound[w], batch[w]);
#endif
#ifdef LEDGER_UPDATE_LAST_IN_OWN_TRANSACTION
    write_rows(batch[w]);
#endif
  fi
}

inline end_transaction(w) {
  locked_by[bound[w]] = 0;
  phase[w] = IDLE
}

inline leave_in_doubt(w) {
  in_doubt = batch[w];
  in_doubt_epoch = bound[w];
  locked_by[bound[w]] = IN_DOUBT;
  phase[w] = IDLE
}

inline commit(w) {
  end_transaction(w);
  apply(bound[w], batch[w]);
  to_ack[w] = to_ack[w] | (batch[w] & WANTED);
  batch[w] = 0
}

inline die(w) {
  faults--;
  drop_held(w);
  to_ack[w] = 0;
  session[w] = CUT
}

/* Send the acks that may be sent; those of messages after `last` are lost. */
inline acknowledge(w, last) {
#ifdef FLOOR_ACKS
  m = 0;
  for (i : 1 .. MESSAGES) {
    if
    :: CAN_ACK(w, i) && sequence[i] > m -> m = sequence[i]
    :: else
    fi
  }
  for (i : 1 .. MESSAGES) {
    if
    :: sequence[i] <= m -> to_ack[w] = to_ack[w] & ~MESSAGE(i)
    :: else
    fi
  }
  base[w] = m;
  ack_floor = (last && m > ack_floor -> m : ack_floor);
  set = UP_TO(last -> m : 0);
#else
  set = SEQUENCES(to_ack[w] & UP_TO(last));
  to_ack[w] = 0;
#endif
  for (i : 1 .. MESSAGES) {  /* JetStream takes an ack by its sequence, whichever message has that sequence now */
    if
    :: (pending & MESSAGE(i)) != 0 && (set & SEQUENCE(sequence[i])) != 0 ->
      assert((live & MESSAGE(i)) == 0 || (rows & MESSAGE(i)) != 0);  /* nothing is acknowledged before its commit */
      pending = pending & ~MESSAGE(i);
      acked = acked | MESSAGE(i)
    :: else
    fi
  }
  skip
}

proctype Worker(byte w) {
end:
  do
  :: d_step { CHECKS(w) -> check_stream(w, end_seq) }
#if STALE
  :: d_step { CHECKS(w) && stale > 0 && end_seq > 0 -> stale--; check_stream(w, 0) }
  :: d_step { CHECKS(w) && stale > 0 && end_seq > 1 -> stale--; check_stream(w, 1) }
  :: d_step { CHECKS(w) && stale > 0 && end_seq > 2 -> stale--; check_stream(w, 2) }
  :: d_step { CHECKS(w) && stale > 0 && end_seq > 3 -> stale--; check_stream(w, 3) }
#endif

  :: d_step { WRITES(w) -> write_batch(w) }

  :: d_step { phase[w] == UPDATED -> commit(w) }
  /* The answer of COMMIT is lost. It succeeded, it failed, or it will do either later. The worker keeps the batch. */
  :: d_step { phase[w] == UPDATED && faults > 0 -> faults--; end_transaction(w); apply(bound[w], batch[w]) }
  :: d_step { phase[w] == UPDATED && faults > 0 -> faults--; end_transaction(w) }
  :: d_step { phase[w] == UPDATED && faults > 0 && in_doubt == 0 -> faults--; leave_in_doubt(w) }

  :: d_step { ACKS(w) -> acknowledge(w, MESSAGES) }
  :: d_step { ACKS(w) && faults > 0 -> faults--; acknowledge(w, 0) }
#ifndef FLOOR_ACKS
  :: d_step { ACKS(w) && faults > 0 -> faults--; acknowledge(w, 1) }
  :: d_step { ACKS(w) && faults > 0 -> faults--; acknowledge(w, 2) }
  :: d_step { ACKS(w) && faults > 0 -> faults--; acknowledge(w, 3) }
#endif

  /* The worker dies and is started again. */
  :: d_step { faults > 0 && phase[w] == IDLE -> die(w) }
  :: d_step { faults > 0 && phase[w] == UPDATED -> end_transaction(w); die(w) }
  :: d_step { faults > 0 && phase[w] == UPDATED && in_doubt == 0 -> leave_in_doubt(w); die(w) }

#ifdef FLOOR_ACKS
#ifdef HOLE_CLOSED_BY_STALE_ANSWER
  :: d_step { stale > 0 && MAY_CLOSE(w) -> stale--; committed[epoch] = committed[epoch] | UP_TO(last_seq[epoch]) }
#endif
#ifndef HOLE_NEVER_CLOSED
  /* Look up the sequences that the ledger lacks, and add those that hold no message for this consumer. */
  :: d_step { MAY_CLOSE(w) && VACANT(w) -> committed[epoch] = committed[epoch] | VACANT(w) }
#endif
  /* Read the consumer's ack floor: another worker may have moved it. */
  :: d_step { session[w] != CUT && base[w] < ACK_FLOOR -> base[w] = ACK_FLOOR }
#endif
  od
}

/* ---- JetStream and the connections ---- */

/*
 * Deliver the next wanted message. If the worker has also received the delivery before it, the consumer skipped only
 * unwanted messages between the two, and the new one covers them.
 */
inline deliver_first(w) {
  m = 0;
  for (i : 1 .. MESSAGES) {
    if
    :: NEXT(w, i) && (m == 0 || sequence[i] < sequence[m]) -> m = i
    :: else
    fi
  }
#if UNWANTED
  for (i : 1 .. MESSAGES) {
    if
    :: unbroken[w] && (UNWANTED & MESSAGE(i)) != 0 && sequence[i] > delivered && sequence[i] < sequence[m] ->
      open[w] = open[w] | MESSAGE(i)
    :: else
    fi
  }
  unbroken[w] = true;
  unbroken[1 - w] = false;
#endif
  delivered = sequence[m];
  pending = pending | MESSAGE(m);
  open[w] = open[w] | MESSAGE(m)
}

inline deliver_again(w, n) {
#if UNWANTED
  unbroken[1 - w] = false;
#endif
  open[w] = open[w] | MESSAGE(n)
}

/* The connection breaks while the message is on its way. */
inline lose_delivery(w) {
  faults--;
  deliver_first(w);
  open[w] = open[w] & ~MESSAGE(m);
#if UNWANTED
  open[w] = open[w] & ~(UNWANTED);
  unbroken[w] = false;
#endif
  session[w] = CUT
}

/* ack_wait expires for a message that no worker has, or, as a fault, for one that a worker still has. */
#define EXPIRED(w, n) (PULLS(w) && (pending & live & MESSAGE(n)) != 0 && (HELD_BY_ANYONE & MESSAGE(n)) == 0)
#define EXPIRED_EARLY(w, n) \
  (PULLS(w) && faults > 0 && (pending & live & MESSAGE(n)) != 0 && (HELD_BY_ANYONE & MESSAGE(n)) != 0)

proctype Deliveries(byte w) {
end:
  do
  :: d_step { PULLS(w) && ANY(NEXT, w) -> deliver_first(w) }
  :: d_step { PULLS(w) && ANY(NEXT, w) && faults > 0 -> lose_delivery(w) }
  :: d_step { EXPIRED(w, 1) -> deliver_again(w, 1) }
  :: d_step { EXPIRED(w, 2) -> deliver_again(w, 2) }
  :: d_step { EXPIRED(w, 3) -> deliver_again(w, 3) }
  :: d_step { EXPIRED(w, 4) -> deliver_again(w, 4) }
  :: d_step { EXPIRED(w, 5) -> deliver_again(w, 5) }
  :: d_step { EXPIRED_EARLY(w, 1) -> faults--; deliver_again(w, 1) }
  :: d_step { EXPIRED_EARLY(w, 2) -> faults--; deliver_again(w, 2) }
  :: d_step { EXPIRED_EARLY(w, 3) -> faults--; deliver_again(w, 3) }
  :: d_step { EXPIRED_EARLY(w, 4) -> faults--; deliver_again(w, 4) }
  :: d_step { EXPIRED_EARLY(w, 5) -> faults--; deliver_again(w, 5) }
  od
}

inline cut_sessions() {
  session[0] = CUT;
  session[1] = CUT
}

#ifdef FAULTS_END
inline end_faults() {
  over = true;
  faults = 0;
  stale = 0;
  expiries = 0
}
#endif

inline store() {
  stored++;
  end_seq++;
  sequence[stored] = end_seq;
  live = live | MESSAGE(stored)
}

/* The stream's limits remove the oldest message. */
inline expire() {
  expiries--;
  live = live & (live - 1)
}

/* The consumer loses its state and delivers from the start of the stream. */
inline rewind_consumer() {
  delivered = 0;
  pending = 0;
  acked = 0;
#ifdef FLOOR_ACKS
  ack_floor = 0;
#endif
  cut_sessions()
}

/* The stream loses its messages after sequence `last`; the consumer's state is cut to match. */
inline lose_end(last) {
  regressions++;
  end_seq = last;
  for (i : 1 .. MESSAGES) {
    if
    :: sequence[i] > last -> live = live & ~MESSAGE(i)
    :: else
    fi
  }
  if
  :: delivered > last -> delivered = last
  :: else
  fi;
#ifdef FLOOR_ACKS
  ack_floor = (ack_floor > last -> last : ack_floor);
#endif
  pending = pending & live;
  acked = acked & live;
  cut_sessions()
}

/* Assumption: a transaction that began before the stream lost its end has ended before a worker checks the stream. */
#ifdef SLOW_TRANSACTION
#define NO_TRANSACTION true
#else
#define NO_TRANSACTION (in_doubt == 0 && phase[0] == IDLE && phase[1] == IDLE)
#endif
#define MAY_REGRESS(last) (!over && regressions < REGRESSIONS && end_seq > last && NO_TRANSACTION)

proctype Servers() {
end:
  do
  :: d_step { stored < MESSAGES -> store() }
#ifdef FAULTS_END
  :: d_step { !over -> end_faults() }
#endif
  :: d_step { expiries > 0 && live != 0 -> expire() }
  :: d_step { faults > 0 && !deleted -> faults--; deleted = true; rewind_consumer() }
#if REGRESSIONS
  :: d_step { MAY_REGRESS(0) -> lose_end(0) }
  :: d_step { MAY_REGRESS(1) -> lose_end(1) }
  :: d_step { MAY_REGRESS(2) -> lose_end(2) }
  :: d_step { MAY_REGRESS(3) -> lose_end(3) }
  :: d_step { MAY_REGRESS(0) -> lose_end(0); rewind_consumer() }
  :: d_step { MAY_REGRESS(1) -> lose_end(1); rewind_consumer() }
  :: d_step { MAY_REGRESS(2) -> lose_end(2); rewind_consumer() }
  :: d_step { MAY_REGRESS(3) -> lose_end(3); rewind_consumer() }
#endif
  :: d_step { in_doubt != 0 -> apply(in_doubt_epoch, in_doubt); locked_by[in_doubt_epoch] = 0; in_doubt = 0 }
  :: d_step { in_doubt != 0 -> locked_by[in_doubt_epoch] = 0; in_doubt = 0 }
  od
}

/* Every message in the stream is written and acknowledged. */
#define SETTLED ((live & WANTED & ~(rows & acked)) == 0)

init {
  atomic {
    do
    :: stored < PRESENT -> store()
    :: else -> break
    od;
    run Worker(0);
    run Worker(1);
    run Deliveries(0);
    run Deliveries(1);
    run Servers()
  }
  timeout -> assert(SETTLED)  /* when no step is possible any more */
}
