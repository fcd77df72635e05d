/* Preloaded into a process: its wall clock differs from the machine's by what the file SHIFTED_CLOCK says, in seconds.
   The file is shared, so that the clocks of many processes jump at the same moment, as when a time server sets one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile double *offset_s;

__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("SHIFTED_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) offset_s = page;
    close(file);
}

int clock_gettime(clockid_t id, struct timespec *time) {
    static int (*machine)(clockid_t, struct timespec *);
    if (!machine) machine = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int status = machine(id, time);
    if (status == 0 && id == CLOCK_REALTIME && offset_s) time->tv_sec += (time_t)*offset_s;
    return status;
}

/* Deadlines that were made with the shifted clock mean the machine's. */
static struct timespec unshifted(const struct timespec *deadline) {
    struct timespec machine = *deadline;
    if (offset_s) machine.tv_sec -= (time_t)*offset_s;
    return machine;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
    static int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!wait) wait = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))
                   dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    struct timespec machine = unshifted(deadline);
    return wait(condition, mutex, &machine);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t id,
                           const struct timespec *deadline) {
    static int (*wait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    if (!wait) wait = (int (*)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *))
                   dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    struct timespec machine = id == CLOCK_REALTIME ? unshifted(deadline) : *deadline;
    return wait(condition, mutex, id, &machine);
}
