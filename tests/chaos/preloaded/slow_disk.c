/* A slow disk: opening, writing and syncing the files below a folder takes as many microseconds as a shared file says.
 *
 * Loaded by LD_PRELOAD; CHAOS_SLOW_FOLDER names the folder, CHAOS_SLOW_DISK the file, which holds one 64-bit number in the
 * machine's order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NAME(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static volatile int64_t none = 0;
static volatile int64_t *delay = &none;
static char folder[4096];
static size_t length = 0;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_SLOW_DISK"), *below = getenv("CHAOS_SLOW_FOLDER");
    if (!path || !below || strlen(below) >= sizeof folder) return;
    int file = NAME(open)(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) delay = shared;
    close(file);
    strcpy(folder, below);
    length = strlen(folder);
}

static void wait_a_while(void) {
    int before = errno;
    int64_t micros = *delay;
    struct timespec time = {micros / 1000000, micros % 1000000 * 1000};
    while (micros > 0 && nanosleep(&time, &time) && errno == EINTR) {
    }
    errno = before;
}

static int is_below(const char *path) {
    return length && *delay && path && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static void slow_path(const char *path) {
    if (is_below(path)) wait_a_while();
}

static void slow_file(int file) {
    char link[64], path[4096];
    if (!length || !*delay) return;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    errno = before;
    if (size <= 0) return;
    path[size] = 0;
    slow_path(path);
}

#define OPEN(function)                                                                                                 \
    int function(const char *path, int flags, ...) {                                                                   \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                                        \
        va_end(more);                                                                                                  \
        slow_path(path);                                                                                               \
        return NAME(function)(path, flags, mode);                                                                      \
    }
#define OPEN_AT(function)                                                                                              \
    int function(int at, const char *path, int flags, ...) {                                                           \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                                        \
        va_end(more);                                                                                                  \
        slow_path(path);                                                                                               \
        return NAME(function)(at, path, flags, mode);                                                                  \
    }
#define ON_FILE(result, function, parameters, arguments)                                                               \
    result function parameters {                                                                                       \
        slow_file(file);                                                                                               \
        return NAME(function) arguments;                                                                               \
    }

OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)
ON_FILE(ssize_t, write, (int file, const void *data, size_t size), (file, data, size))
ON_FILE(ssize_t, writev, (int file, const struct iovec *parts, int count), (file, parts, count))
ON_FILE(ssize_t, pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at))
ON_FILE(ssize_t, pwrite64, (int file, const void *data, size_t size, off64_t at), (file, data, size, at))
ON_FILE(int, fsync, (int file), (file))
ON_FILE(int, fdatasync, (int file), (file))
