/*
 * The load generator: any number of subscribers, and a publisher, in one thread and one process, so that one clock
 * stamps an event and sees it arrive. Prints one line of JSON. bench/README.md tells how it measures.
 *
 * An event's data is "<number> <CLOCK_MONOTONIC in ns> xxx...". Numbers count up in each channel, which is how
 * missing, repeated and reordered events are known.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;

#define MS 1000000ull
#define SECOND 1000000000ull
#define LINE 512        /* as much of a line as is kept: our numbers are at its start */
#define SEEN 1024       /* events of which a subscriber knows whether it had them */
#define READ_SIZE 262144
#define MAX_PUBLISHERS 256
#define MAX_SOURCES 4096
#define MAX_PIDS 16
#define MAX_SAMPLES 2000

/* ---- options ---- */

static int port = 8080, subscribers, channels = 1, publishers = 16, connecting_limit = 64, bytes = 100;
static int window, flood, nap, source_port, ingest;
static double rate, settle, idle, warmup, seconds, drain = 5, sample;
static char *events_path = "/events/", *publish_path = "/publish/", *pids_option = "";

static void usage(const char *wrong) {
    fprintf(stderr, "load: %s\n", wrong);
    exit(2);
}

static void parse_options(int argc, char **argv) {
    struct { const char *name; int *number; double *real; char **text; } known[] = {
        {"--port", &port, 0, 0},
        {"--subscribers", &subscribers, 0, 0},
        {"--channels", &channels, 0, 0},
        {"--publishers", &publishers, 0, 0},
        {"--connecting", &connecting_limit, 0, 0},
        {"--bytes", &bytes, 0, 0},
        {"--window", &window, 0, 0},        /* closed loop: so many events in flight */
        {"--flood", &flood, 0, 0},          /* closed loop: each publisher's connection always busy */
        {"--rate", 0, &rate, 0},            /* open loop: events a second */
        {"--nap", &nap, 0, 0},              /* microseconds between two rounds of reading, which then read more at once */
        {"--source-port", &source_port, 0, 0}, /* events come from here and not from a publisher */
        {"--ingest", &ingest, 0, 0},        /* the source sends as fast as it can */
        {"--settle", 0, &settle, 0},
        {"--idle", 0, &idle, 0},
        {"--warmup", 0, &warmup, 0},
        {"--seconds", 0, &seconds, 0},
        {"--drain", 0, &drain, 0},
        {"--sample", 0, &sample, 0},        /* memory every so many seconds */
        {"--events-path", 0, 0, &events_path},
        {"--publish-path", 0, 0, &publish_path},
        {"--pids", 0, 0, &pids_option},
    };
    int count = sizeof known / sizeof *known;
    for (int i = 1; i < argc; i += 2) {
        int k = 0;
        while (k < count && strcmp(argv[i], known[k].name)) k++;
        if (k == count || i + 1 == argc) usage(argv[i]);
        if (known[k].number) *known[k].number = atoi(argv[i + 1]);
        else if (known[k].real) *known[k].real = atof(argv[i + 1]);
        else *known[k].text = argv[i + 1];
    }
    if (publishers < 1 || publishers > MAX_PUBLISHERS) usage("--publishers 1 to 256");
    if (channels < 1) usage("--channels");
    if (bytes < 40 || bytes > 4000) usage("--bytes 40 to 4000");
}

/* ---- time, and a histogram in microseconds with 128 steps for every doubling ---- */

static u64 clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

typedef struct { u64 count, most; u64 at[64 * 128]; } histogram;

static void record(histogram *h, u64 ns) {
    u64 v = ns / 1000;
    int shift = v < 128 ? 0 : 56 - __builtin_clzll(v);
    h->at[shift * 128 + (v >> shift)]++;
    h->count++;
    if (v > h->most) h->most = v;
}

static double quantile(histogram *h, double q) {
    u64 wanted = h->count * q, seen = 0;
    for (int i = 0; i < 64 * 128; i++) {
        seen += h->at[i];
        if (h->at[i] && seen > wanted) {
            int shift = i < 256 ? 0 : i / 128 - 1;
            return (double)((u64)(i - shift * 128) << shift) / 1000;
        }
    }
    return h->most / 1000.0;
}

static void print_histogram(const char *name, histogram *h) {
    if (!h->count) return;
    printf(",\"%s\":{\"count\":%llu,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}", name,
        (unsigned long long)h->count, quantile(h, .5), quantile(h, .99), quantile(h, .999), h->most / 1000.0);
}

/* ---- state ---- */

enum { TIMER, SUBSCRIBER, PUBLISHER, LISTENER, SOURCE };
enum { NEW, CONNECTING, HEADER, BODY, WAITING };
enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };

typedef struct {
    int fd, channel, retry;
    u32 number, base, next;           /* all events below base were seen or given up; the highest is before next */
    u64 time;                         /* the event's stamp */
    unsigned char state, chunk_state, chunked, ok, has_data, has_id, is_gap, is_start;
    u32 chunk;
    int line_length, id_length;
    char line[LINE];
    char id[128], last_id[128];
    u64 seen[SEEN / 64];
} subscriber;

typedef struct {
    int fd, busy, length, out, sent, channel, connected;
    u64 started;
    char request[8192], answer[4096];
} publisher;

typedef struct { int fd, ready; size_t at; } source;

static subscriber *subs;
static publisher pubs[MAX_PUBLISHERS];
static source sources[MAX_SOURCES];
static u32 *numbers, *listeners;      /* of each channel: events so far, subscribers */
static int poller, timer, source_fd = -1, source_count;
static int started, connecting, open_count, waiting;
static struct { u64 again; int index; } *waits;
static int publishing, measuring;
static u64 publish_start, publish_index, measure_start;
static u64 published, publish_errors, expected, received, duplicates, reordered, gaps, resumes, cuts, failures, refused;
static u64 window_deliveries, window_published, bytes_in;
static histogram latency, publish_latency;
static char padding[4096], *reading, *block;
static size_t block_length;
static int last_status;

static u64 ingest_count, ingest_time;


static void watch(int fd, int kind, u32 index, u32 events, int op) {
    struct epoll_event e = {.events = events, .data.u64 = (u64)kind << 32 | index};
    epoll_ctl(poller, op, fd, &e);
}

static int connect_to(int to) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct linger reset = {1, 0};     /* leave no TIME_WAIT behind */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(to), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- a subscriber ---- */

static void leave(subscriber *s) {
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    if (s->state == CONNECTING || s->state == HEADER) connecting--;
    if (s->state == BODY) open_count--;
    if (s->state == BODY) resumes++;
    else failures++;
    s->state = WAITING;
    waits[waiting].again = clock_now() + s->retry * MS;
    waits[waiting++].index = s - subs;
}

static void subscribe(subscriber *s) {
    s->fd = connect_to(port);
    s->line_length = s->chunked = s->ok = s->has_data = s->has_id = s->is_gap = 0;
    s->chunk_state = CHUNK_SIZE;
    s->chunk = 0;
    s->state = CONNECTING;
    connecting++;
    if (s->fd < 0) {
        leave(s);
        return;
    }
    watch(s->fd, SUBSCRIBER, s - subs, EPOLLOUT, EPOLL_CTL_ADD);
}

static void request_stream(subscriber *s) {
    char request[1024], resume[256] = "";
    if (s->last_id[0]) snprintf(resume, sizeof resume, "Last-Event-ID: %s\r\n", s->last_id);
    int n = snprintf(request, sizeof request,
        "GET %s%d HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n%s\r\n", events_path, s->channel, resume);
    s->state = HEADER;
    if (send(s->fd, request, n, MSG_NOSIGNAL) != n) leave(s);
    else watch(s->fd, SUBSCRIBER, s - subs, EPOLLIN, EPOLL_CTL_MOD);
}

static void deliver(subscriber *s) {
    u64 now = clock_now();
    u32 n = s->number;
    if (n < s->base || (n < s->base + SEEN && s->seen[n % SEEN / 64] >> n % 64 & 1)) {
        duplicates++;
        return;
    }
    if (n < s->next) reordered++;
    else s->next = n + 1;
    while (n >= s->base + SEEN) {
        s->seen[s->base % SEEN / 64] &= ~(1ull << s->base % 64);
        s->base++;
    }
    s->seen[n % SEEN / 64] |= 1ull << n % 64;
    while (s->seen[s->base % SEEN / 64] >> s->base % 64 & 1) {
        s->seen[s->base % SEEN / 64] &= ~(1ull << s->base % 64);
        s->base++;
    }
    received++;
    if (measuring) window_deliveries++;
    if (measure_start && s->time >= measure_start) record(&latency, now - s->time);
}

static int field(const char *line, int n, const char *name, int length, const char **value) {
    if (n < length || memcmp(line, name, length)) return 0;
    *value = line + length + (n > length && line[length] == ' ');
    return 1;
}

/* `line` is followed by at least one byte that is no digit. */
static void stream_line(subscriber *s, const char *line, int n) {
    const char *value;
    if (n == 0) {
        if (s->has_id) memcpy(s->last_id, s->id, sizeof s->id);
        if (s->has_data && s->is_gap) gaps++;
        else if (s->has_data && !s->is_start) deliver(s);
        s->has_data = s->has_id = s->is_gap = s->is_start = 0;
    } else if (field(line, n, "data:", 5, &value)) {
        if (isdigit((unsigned char)*value)) {
            u64 x = 0;
            while (isdigit((unsigned char)*value)) x = x * 10 + *value++ - '0';
            s->number = x;
            x = 0;
            if (*value == ' ') value++;
            while (isdigit((unsigned char)*value)) x = x * 10 + *value++ - '0';
            s->time = x;
        }
        s->has_data = 1;
    } else if (field(line, n, "id:", 3, &value)) {
        int length = line + n - value;
        if (length < (int)sizeof s->id) {
            memcpy(s->id, value, length);
            s->id[length] = 0;
            s->has_id = 1;
        }
    } else if (field(line, n, "retry:", 6, &value)) {
        s->retry = atoi(value);
    } else if (field(line, n, "event:", 6, &value)) {
        s->is_gap = line + n - value == 7 && !memcmp(value, "sse-gap", 7);
        s->is_start = line + n - value == 9 && !memcmp(value, "sse-start", 9);   /* carries only an id */
    }
}

static void header_line(subscriber *s, const char *line, int n) {
    if (n >= 12 && !memcmp(line, "HTTP/1.", 7)) {
        last_status = atoi(line + 9);
        s->ok = last_status == 200;
    } else if (n >= 26 && !strncasecmp(line, "Transfer-Encoding: chunked", 26)) {
        s->chunked = 1;
    } else if (n == 0 && s->ok) {
        s->state = BODY;
        connecting--;
        open_count++;
    } else if (n == 0) {
        refused++;
        leave(s);
    }
}

/* Takes bytes line by line, as long as they belong to the header or as long as they belong to the body. */
static const char *take_lines(subscriber *s, const char *at, const char *end) {
    int state = s->state;
    while (at < end && s->state == state) {
        const char *newline = memchr(at, '\n', end - at);
        const char *stop = newline ? newline : end;
        if (newline && !s->line_length) {
            int n = stop - at - (stop > at && stop[-1] == '\r');
            state == HEADER ? header_line(s, at, n) : stream_line(s, at, n);
        } else {
            int room = LINE - 1 - s->line_length, n = stop - at < room ? stop - at : room;
            memcpy(s->line + s->line_length, at, n);
            s->line_length += n;
            if (newline) {
                n = s->line_length;
                if (n && s->line[n - 1] == '\r') n--;
                s->line[n] = 0;
                s->line_length = 0;
                state == HEADER ? header_line(s, s->line, n) : stream_line(s, s->line, n);
            }
        }
        at = newline ? newline + 1 : end;
    }
    return at;
}

static void feed(subscriber *s, const char *at, const char *end) {
    if (s->state == HEADER) at = take_lines(s, at, end);
    if (s->state != BODY) return;
    if (!s->chunked) {
        take_lines(s, at, end);
        return;
    }
    while (at < end) {
        if (s->chunk_state == CHUNK_SIZE) {
            char c = *at++;
            if (isxdigit((unsigned char)c)) {
                s->chunk = s->chunk * 16 + (isdigit((unsigned char)c) ? c - '0' : (c | 32) - 'a' + 10);
            } else if (c == '\n') {
                s->chunk_state = s->chunk ? CHUNK_DATA : TRAILER;
            }
        } else if (s->chunk_state == CHUNK_DATA) {
            const char *stop = end - at > s->chunk ? at + s->chunk : end;
            s->chunk -= stop - at;
            take_lines(s, at, stop);
            at = stop;
            if (!s->chunk) s->chunk_state = CHUNK_END;
        } else if (s->chunk_state == CHUNK_END) {
            if (*at++ == '\n') s->chunk_state = CHUNK_SIZE;
        } else {
            leave(s);                 /* the stream's regular end */
            return;
        }
    }
}

static void on_subscriber(subscriber *s, u32 events) {
    if (s->state == CONNECTING && events & EPOLLOUT && !(events & EPOLLERR)) {
        request_stream(s);
        return;
    }
    ssize_t n = read(s->fd, reading, READ_SIZE);
    if (n > 0) {
        bytes_in += n;
        reading[n] = 0;
        feed(s, reading, reading + n);
    } else if (n == 0 || errno != EAGAIN) {
        cuts += s->state == BODY;
        leave(s);
    }
}

/* ---- a publisher's connection: one request at a time ---- */

static void hang_up(publisher *p) {
    if (p->fd >= 0) close(p->fd);
    if (p->busy) publish_errors++;
    p->fd = -1;
    p->busy = p->connected = 0;
}

static void send_request(publisher *p) {
    ssize_t n = send(p->fd, p->request + p->sent, p->out - p->sent, MSG_NOSIGNAL);
    if (n > 0) p->sent += n;
    else if (errno != EAGAIN) hang_up(p);
}

static void start_request(publisher *p, u64 now) {
    p->busy = 1;
    p->started = now;
    p->sent = p->length = 0;
    if (p->fd < 0) {
        p->fd = connect_to(port);
        if (p->fd < 0) hang_up(p);
        else watch(p->fd, PUBLISHER, p - pubs, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
    } else {
        send_request(p);
    }
}

static void publish_event(publisher *p, u64 stamp, u64 now) {
    static u64 random = 88172645463325252ull;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    p->channel = channels > 1 ? random % channels : 0;
    char data[64];
    int n = snprintf(data, sizeof data, "%u %llu ", numbers[p->channel]++, (unsigned long long)stamp);
    p->out = snprintf(p->request, sizeof p->request,
        "POST %s%d HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s%.*s",
        publish_path, p->channel, bytes, data, bytes - n, padding);
    published++;
    expected += listeners[p->channel];
    start_request(p, now);
}

static void ask_state(publisher *p) {
    p->out = snprintf(p->request, sizeof p->request, "GET %s0 HTTP/1.1\r\nHost: bench\r\n\r\n", publish_path);
    p->channel = -1;
    start_request(p, clock_now());
}

/* Whether the answer is complete; only what servers here send: a length, or one that ends with a last chunk. */
static int is_complete(publisher *p) {
    p->answer[p->length] = 0;
    char *body = strstr(p->answer, "\r\n\r\n");
    if (!body) return 0;
    body += 4;
    char *length = strcasestr(p->answer, "\ncontent-length:");
    if (length && length < body) return p->answer + p->length - body >= atoi(length + 16);
    char *chunked = strcasestr(p->answer, "\ntransfer-encoding: chunked");
    if (chunked && chunked < body) return strstr(body - 2, "\r\n0\r\n\r\n") != 0;
    return 1;
}

static void on_answer(publisher *p) {
    u64 now = clock_now();
    int status = atoi(p->answer + 9);
    p->busy = 0;
    if (p->channel < 0) {
        char *id = strstr(p->answer, "\"id\":\""), *dash = id ? strchr(id + 6, '-') : 0;
        ingest_count = dash ? strtoull(dash + 1, 0, 10) : 0;
        ingest_time = now;
    } else if (status / 100 == 2) {
        if (measuring) window_published++;
        if (measuring) record(&publish_latency, now - p->started);
    } else {
        publish_errors++;
        last_status = status;
        expected -= listeners[p->channel];
    }
    if (strcasestr(p->answer, "\nconnection: close")) hang_up(p);
}

static void on_publisher(publisher *p, u32 events) {
    if (!p->connected && events & EPOLLOUT && !(events & EPOLLERR)) {
        p->connected = 1;
        watch(p->fd, PUBLISHER, p - pubs, EPOLLIN, EPOLL_CTL_MOD);
        if (p->busy) send_request(p);
        return;
    }
    if (p->length >= (int)sizeof p->answer - 1) p->length = 0;
    ssize_t n = read(p->fd, p->answer + p->length, sizeof p->answer - 1 - p->length);
    if (n > 0) {
        p->length += n;
        if (p->busy && is_complete(p)) on_answer(p);
    } else if (n == 0 || errno != EAGAIN) {
        hang_up(p);
    }
}

/* ---- a source: an SSE server of our own, for what nginx reads ---- */

static void listen_source(void) {
    int one = 1;
    source_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(source_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(source_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(source_fd, (struct sockaddr *)&a, sizeof a) || listen(source_fd, 4096)) usage("cannot listen");
    watch(source_fd, LISTENER, 0, EPOLLIN, EPOLL_CTL_ADD);

    block = malloc(1 << 17);
    for (int i = 0; block_length < 1 << 16; i++) {
        block_length += sprintf(block + block_length, "data: %d 0 %.*s\n\n", i, bytes - 8, padding);
    }
}

static void accept_sources(void) {
    int fd, one = 1;
    while (source_count < MAX_SOURCES && (fd = accept4(source_fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        sources[source_count] = (source){.fd = fd};
        watch(fd, SOURCE, source_count++, EPOLLIN, EPOLL_CTL_ADD);
    }
}

static void on_source(source *s, u32 events) {
    static const char header[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hi\n\n";
    char request[4096];
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = read(s->fd, request, sizeof request);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            close(s->fd);
            s->fd = -1;
            return;
        }
        if (n > 0 && !s->ready) {
            s->ready = send(s->fd, header, sizeof header - 1, MSG_NOSIGNAL) > 0;
            if (ingest) watch(s->fd, SOURCE, s - sources, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
        }
    } else if (events & EPOLLOUT) {
        ssize_t n = send(s->fd, block + s->at, block_length - s->at, MSG_NOSIGNAL);
        if (n > 0) s->at = (s->at + n) % block_length;
    }
}

/* One event to everyone who listens at our source. */
static void emit(u64 stamp) {
    char event[8192];
    u32 number = numbers[0]++;
    char data[64];
    int digits = snprintf(data, sizeof data, "%u %llu ", number, (unsigned long long)stamp);
    int n = snprintf(event, sizeof event, "id: %u\ndata: %s%.*s\n\n", number, data, bytes - digits, padding);
    published++;
    expected += listeners[0];
    if (measuring) window_published++;
    for (int i = 0; i < source_count; i++) {
        if (sources[i].fd >= 0 && sources[i].ready && send(sources[i].fd, event, n, MSG_NOSIGNAL) != n) {
            publish_errors++;
        }
    }
}

/* ---- the loop ---- */

static double in_flight(void) {
    return published - publish_errors - (subscribers ? (double)received / subscribers : 0);
}

static publisher *free_publisher(void) {
    static int next;
    for (int i = 0; i < publishers; i++) {
        publisher *p = &pubs[next++ % publishers];
        if (!p->busy) return p;
    }
    return 0;
}

/* Does what is due. Returns when something is due next. */
static u64 pump(u64 now) {
    u64 next = UINT64_MAX;
    while (started < subscribers && connecting < connecting_limit) subscribe(&subs[started++]);
    if (waiting) {
        for (int i = waiting - 1; i >= 0; i--) {
            if (waits[i].again <= now) {
                int index = waits[i].index;
                waits[i] = waits[--waiting];
                subscribe(&subs[index]);
            }
        }
        next = now + 2 * MS;
    }
    if (publishing && rate > 0) {
        u64 due;
        while ((due = publish_start + publish_index * (SECOND / rate)) <= now) {
            publisher *p = source_port ? 0 : free_publisher();
            if (!source_port && !p) break;
            publish_index++;
            source_port ? emit(due) : publish_event(p, due, now);
        }
        if (due > now && due < next) next = due;
    } else if (publishing) {
        publisher *p;
        while ((flood || in_flight() < window) && (p = free_publisher())) publish_event(p, now, now);
    }
    return next;
}

static void run_until(u64 end, int (*is_done)(void)) {
    static struct epoll_event events[1024];
    static u64 armed;
    u64 now;
    while ((now = clock_now()) < end && !(is_done && is_done())) {
        u64 next = pump(now);
        if (next > end) next = end;
        if (next != armed) {
            struct itimerspec t = {.it_value = {next / SECOND, next % SECOND}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, 0);
            armed = next;
        }
        if (nap && publishing) usleep(nap);
        int n = epoll_wait(poller, events, 1024, 1000);
        for (int i = 0; i < n; i++) {
            u32 index = events[i].data.u64, what = events[i].events;
            u64 ticks;
            switch (events[i].data.u64 >> 32) {
            case TIMER:
                if (read(timer, &ticks, sizeof ticks) > 0) armed = 0;
                break;
            case SUBSCRIBER:
                if (subs[index].fd >= 0) on_subscriber(&subs[index], what);
                break;
            case PUBLISHER:
                if (pubs[index].fd >= 0) on_publisher(&pubs[index], what);
                break;
            case LISTENER:
                accept_sources();
                break;
            case SOURCE:
                if (sources[index].fd >= 0) on_source(&sources[index], what);
            }
        }
    }
}

static int all_open(void) { return started == subscribers && open_count == subscribers; }
static int all_received(void) { return received >= expected && !waiting; }
static int has_source(void) { return source_count > 0; }
static int has_answer(void) { return !pubs[0].busy; }

/* ---- what the processes use ---- */

static int pids[MAX_PIDS], pid_count;

static void parse_pids(void) {
    for (char *p = strtok(strdup(pids_option), ","); p && pid_count < MAX_PIDS; p = strtok(0, ",")) {
        pids[pid_count++] = atoi(p);
    }
}

static char *slurp(const char *path) {
    static char text[65536];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    return text;
}

/* Proportional and resident set size of the server's processes, in KB. */
static void memory_of_server(u64 *pss, u64 *rss) {
    *pss = *rss = 0;
    for (int i = 0; i < pid_count; i++) {
        char path[64], *text, *found;
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pids[i]);
        text = slurp(path);
        if ((found = strstr(text, "\nPss:"))) *pss += strtoull(found + 5, 0, 10);
        if ((found = strstr(text, "\nRss:"))) *rss += strtoull(found + 5, 0, 10);
    }
}

static u64 resident_of_server(void) {
    u64 pages = 0;
    for (int i = 0; i < pid_count; i++) {
        char path[64];
        unsigned long long size, resident = 0;
        snprintf(path, sizeof path, "/proc/%d/statm", pids[i]);
        if (sscanf(slurp(path), "%llu %llu", &size, &resident) == 2) pages += resident;
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

typedef struct { double time, server, load, machine; } usage_at;

/* CPU seconds so far. `machine` leaves out interrupts, which belong to nobody. */
static usage_at cpu_now(void) {
    usage_at u = {.time = clock_now() / 1e9};
    double tick = sysconf(_SC_CLK_TCK);
    for (int i = 0; i < pid_count; i++) {
        char path[64];
        unsigned long long user = 0, sys = 0;
        snprintf(path, sizeof path, "/proc/%d/stat", pids[i]);
        char *after_name = strrchr(slurp(path), ')');
        if (after_name && sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys) == 2) {
            u.server += (user + sys) / tick;
        }
    }
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    u.load = r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
    unsigned long long user = 0, nice = 0, sys = 0, steal = 0;
    sscanf(slurp("/proc/stat"), "cpu %llu %llu %llu %*u %*u %*u %*u %llu", &user, &nice, &sys, &steal);
    u.machine = (user + nice + sys + steal) / tick;
    return u;
}

static void print_cpu(const char *name, usage_at a, usage_at b) {
    double time = b.time - a.time, server = b.server - a.server, load = b.load - a.load;
    double others = b.machine - a.machine - server - load;
    printf(",\"%s\":{\"seconds\":%.3f,\"server\":%.2f,\"load\":%.2f,\"others\":%.2f}", name, time, 100 * server / time,
        100 * load / time, others > 0 ? 100 * others / time : 0);
}

/* ---- one measurement ---- */

static struct { double time; u64 resident, received, resumes; } samples[MAX_SAMPLES];
static int sample_count;

static void take_sample(u64 start) {
    if (sample_count < MAX_SAMPLES) {
        samples[sample_count].time = (clock_now() - start) / 1e9;
        samples[sample_count].received = received;
        samples[sample_count].resumes = resumes;
        samples[sample_count++].resident = resident_of_server();
    }
}

static u64 after(double s) { return clock_now() + (u64)(s * SECOND); }

int main(int argc, char **argv) {
    parse_options(argc, argv);
    parse_pids();
    memset(padding, 'x', sizeof padding - 1);
    reading = malloc(READ_SIZE + 1);
    subs = calloc(subscribers + 1, sizeof *subs);
    waits = calloc(subscribers + 1, sizeof *waits);
    numbers = calloc(channels, sizeof *numbers);
    listeners = calloc(channels, sizeof *listeners);
    poller = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    watch(timer, TIMER, 0, EPOLLIN, EPOLL_CTL_ADD);
    for (int i = 0; i < MAX_PUBLISHERS; i++) pubs[i].fd = -1;
    for (int i = 0; i < subscribers; i++) {
        subs[i] = (subscriber){.fd = -1, .channel = i % channels, .retry = 2000};
        listeners[i % channels]++;
    }
    if (source_port) listen_source();

    u64 pss_before, rss_before, pss_idle, rss_idle;
    memory_of_server(&pss_before, &rss_before);
    u64 start = clock_now();
    run_until(after(120), all_open);
    double connect_seconds = (clock_now() - start) / 1e9;
    int connected = open_count;
    if (source_port && ingest) run_until(after(30), has_source);

    run_until(after(settle), 0);
    memory_of_server(&pss_idle, &rss_idle);
    usage_at idle_start = cpu_now();
    run_until(after(idle), 0);
    usage_at idle_end = cpu_now();

    publishing = !ingest && (rate > 0 || window || flood);
    publish_start = clock_now();
    u64 soak_start = clock_now();
    run_until(after(warmup), 0);
    u64 ingest_before = 0, ingest_start = 0;
    if (ingest) {
        ask_state(&pubs[0]);
        run_until(after(10), has_answer);
        ingest_before = ingest_count;
        ingest_start = ingest_time;
    }
    usage_at run_start = cpu_now();
    measure_start = clock_now();
    measuring = 1;
    u64 end = after(seconds);
    if (sample > 0) {
        take_sample(soak_start);
        for (u64 next = after(sample); next < end; next += (u64)(sample * SECOND)) {
            run_until(next, 0);
            take_sample(soak_start);
        }
    }
    run_until(end, 0);
    measuring = publishing = 0;
    usage_at run_end = cpu_now();
    if (ingest) {
        ask_state(&pubs[0]);
        run_until(after(10), has_answer);
    }
    run_until(after(drain), all_received);
    /* What came twice may come late. */
    run_until(after(duplicates || resumes ? 1 : 0.1), 0);
    if (sample > 0) take_sample(soak_start);
    u64 pss_after, rss_after;
    memory_of_server(&pss_after, &rss_after);

    double time = run_end.time - run_start.time;
    printf("{\"subscribers\":%d,\"connected\":%d,\"connectSeconds\":%.3f", subscribers, connected, connect_seconds);
    printf(",\"pssBefore\":%llu,\"pssIdle\":%llu,\"pssAfter\":%llu,\"rssBefore\":%llu,\"rssIdle\":%llu,\"rssAfter\":%llu",
        (unsigned long long)pss_before, (unsigned long long)pss_idle, (unsigned long long)pss_after,
        (unsigned long long)rss_before, (unsigned long long)rss_idle, (unsigned long long)rss_after);
    if (idle > 0) print_cpu("idle", idle_start, idle_end);
    if (seconds > 0) print_cpu("run", run_start, run_end);
    printf(",\"published\":%llu,\"publishErrors\":%llu,\"publishesPerSecond\":%.1f,\"deliveriesPerSecond\":%.1f",
        (unsigned long long)published, (unsigned long long)publish_errors, time > 0 ? window_published / time : 0,
        time > 0 ? window_deliveries / time : 0);
    printf(",\"expected\":%llu,\"received\":%llu,\"missing\":%lld,\"duplicates\":%llu,\"reordered\":%llu",
        (unsigned long long)expected, (unsigned long long)received, (long long)(expected - received),
        (unsigned long long)duplicates, (unsigned long long)reordered);
    printf(",\"gaps\":%llu,\"resumes\":%llu,\"cuts\":%llu,\"failures\":%llu,\"refused\":%llu,\"lastStatus\":%d,\"bytes\":%llu",
        (unsigned long long)gaps, (unsigned long long)resumes, (unsigned long long)cuts, (unsigned long long)failures,
        (unsigned long long)refused, last_status, (unsigned long long)bytes_in);
    if (ingest && ingest_time > ingest_start) {
        printf(",\"ingestPerSecond\":%.1f", (ingest_count - ingest_before) / ((ingest_time - ingest_start) / 1e9));
    }
    print_histogram("latency", &latency);
    print_histogram("publishLatency", &publish_latency);
    if (sample_count) {
        printf(",\"samples\":[");
        for (int i = 0; i < sample_count; i++) {
            printf("%s{\"time\":%.1f,\"rss\":%llu,\"received\":%llu,\"resumes\":%llu}", i ? "," : "", samples[i].time,
                (unsigned long long)samples[i].resident, (unsigned long long)samples[i].received,
                (unsigned long long)samples[i].resumes);
        }
        printf("]");
    }
    printf("}\n");
    return 0;
}
