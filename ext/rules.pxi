# Declarations of rules.h.

cdef extern from "rules.h" nogil:
    enum: MAX_SOURCES, MAX_OUTPUTS, MAX_USERNAME, MAX_MID, MAX_ANNOUNCED, MAX_LEARNT, MAX_REPORTED
    enum: NO_PORT, NO_RULE, NO_PLACE
    enum: WAITING, LATCHED, LOCKED
    enum: NOT_OPENED, FOR_HOST, FOR_ALL
    enum: NOBODY
    enum: LEARN_IN_WINDOW "WINDOW"
    struct address:
        uint64_t high, low, port
    struct shared_address:
        address address
    struct run_t "run":
        uint32_t ssrc
        uint16_t seq, length
    struct latch_t "latch":
        address peer, challenger
        int64_t until
        run_t run, challenge
        uint32_t ssrc
        uint8_t heard, state, opened
    struct output:
        uint32_t rule, life
    struct keys_handle:
        uint32_t slot, life
    struct stun_keys_t "stun_keys":
        uint32_t inner[5]
        uint32_t outer[5]
        uint16_t length
        uint8_t controlling
        uint8_t username[265]
        address nominated
    struct allowance_t "allowance":
        int64_t since
        uint32_t count
    struct marks_t "marks":
        uint8_t mid_id, mid_length, ssrc_count
        uint8_t mid[32]
        uint64_t payload_types[2]
        uint32_t ssrcs[16]
    struct learnt_t "learnt":
        uint32_t ssrc, rule
    struct rule_t "rule":
        uint32_t id, life, port, generation, described
        address remote, hint
        keys_handle keys
        output rtp, rtcp
        uint32_t settled, leader, clock
        uint64_t clocked[2]
        uint8_t learn, asymmetric, stun, opaque, dtls, plain_rtcp, source_count, rtp_count, rtcp_count
    struct fan_t "fan":
        output rtp[64]
        output rtcp[64]
    struct ice_t "ice":
        address sources[32]
        allowance_t allowances[32]
        stun_keys_t keys
    struct bundle_t "bundle":
        marks_t marks
        uint32_t learnt_count
        learnt_t learnt[32]
    struct whole_rule:
        rule_t rule
        fan_t fan
        ice_t ice
        marks_t marks
    struct track_t "track":
        uint32_t ssrc, jitter, clock
        uint8_t known
    int track_packet(
        track_t *track, uint32_t ssrc, uint16_t sequence, uint32_t timestamp, uint32_t clock, uint64_t now
    )
    struct row:
        uint32_t owner
        shared_address send_to
        latch_t latch
        address steered
        rule_t rule
        track_t track
        track_t *lent
    struct counters_t "counters":
        uint64_t rtp_packets, rtp_bytes, rtcp_packets, rtcp_bytes, sent_packets, sent_bytes
        uint64_t stranger, malformed, no_output, no_peer, send_error, stun, auth, replay
        uint64_t stun_answered, stun_limited, no_media, feedback, rtp_skipped, rtp_late
        int64_t last_packet, last_check
        uint32_t ssrc
        uint16_t seq
        uint8_t payload_type, state
        uint32_t jitter, clock
    struct reported_t "reported":
        uint64_t ssrc, blocks, fraction, lost, jitter, round_trips, round_trip
    struct sender_report:
        int64_t at
        uint32_t ntp
    struct reports_t "reports":
        uint32_t used
        reported_t of[4]
        sender_report sent[4][2]
    struct port_t "port":
        int32_t fd
        uint32_t worker
        address local
        uint8_t place, v6, tos, hops, count
        uint32_t shared
        int64_t shared_since, apart_until
        uint32_t rule, raised
        uint64_t mark
    struct place_t "place":
        address host
        uint32_t *ports
    struct crowd_t "crowd":
        uint32_t rules[64]
    bint same_host(const address *a, const address *b)
    bint same_address(const address *a, const address *b)
    void share_address(shared_address *shared, const address *value)
    address read_address(shared_address *shared)
    void begin_reports(reports_t *reports)
    void end_reports(reports_t *reports)
    uint32_t read_reports(reports_t *reports, reported_t *of)
    void BUMP(uint64_t *counter, uint64_t by)
    uint64_t LOAD(uint64_t *counter)
    uint8_t LOAD8 "LOAD"(const uint8_t *field)
    uint32_t LOAD32 "LOAD"(const uint32_t *field)
    void STORE8 "STORE"(uint8_t *field, uint8_t value)
    void STORE16 "STORE"(uint16_t *field, uint16_t value)
    void STORE32 "STORE"(uint32_t *field, uint32_t value)
    void STORE64 "STORE"(int64_t *field, int64_t value)
    void STORE_COUNT "STORE"(uint64_t *field, uint64_t value)
    uint64_t LOAD_ACQUIRE(uint64_t *index)
    uint32_t LOAD_ACQUIRE32 "LOAD_ACQUIRE"(const uint32_t *count)
    void STORE_RELEASE32 "STORE_RELEASE"(uint32_t *count, uint32_t value)
    void STORE_RELEASE(uint64_t *index, uint64_t value)
    int32_t LOAD_ACQUIRE_FD "LOAD_ACQUIRE"(int32_t *fd)
    void STORE_RELEASE_FD "STORE_RELEASE"(int32_t *fd, int32_t value)
