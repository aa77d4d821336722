// What a C program does through wasi-libc, with what it gives on standard output. Exits with 3.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void list(const char *path) {
  DIR *d = opendir(path);
  if (!d) {
    printf("%s: %s\n", path, strerror(errno));
    return;
  }
  printf("%s:", path);
  for (struct dirent *e; (e = readdir(d));) printf(" %s%s", e->d_name, e->d_type == DT_DIR ? "/" : "");
  printf("\n");
  closedir(d);
}

static void check(const char *what, int result) { printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok"); }

int main(int argc, char **argv) {
  for (int i = 0; i < argc; i++) printf("arg %s\n", argv[i]);
  printf("env %s\n", getenv("NAME") ? getenv("NAME") : "none");
  printf("terminal %d%d%d\n", isatty(0), isatty(1), isatty(2));

  char line[200];
  unsigned lines = 0, bytes = 0;
  while (fgets(line, sizeof line, stdin)) lines++, bytes += strlen(line);
  printf("input %u lines, %u bytes\n", lines, bytes);

  FILE *f = fopen("/data/words", "r");
  if (!f) return 1;
  while (fgets(line, sizeof line, f)) printf("word %s", line);
  fseek(f, 2, SEEK_SET);
  printf("third %c, at %ld\n", fgetc(f), ftell(f));
  fclose(f);
  check("writing data", open("/data/words", O_WRONLY));
  check("making data", open("/data/new", O_WRONLY | O_CREAT, 0644));
  list("/");
  list("/data");
  list("/nowhere");

  check("mkdir", mkdir("/tmp/d", 0755));
  f = fopen("/tmp/d/f", "w+");
  for (int i = 0; i < 3000; i++) fprintf(f, "%d\n", i);
  long sum = 0, n;
  rewind(f);
  while (fscanf(f, "%ld", &n) == 1) sum += n;
  printf("sum %ld\n", sum);
  fclose(f);
  f = fopen("/tmp/d/f", "a");
  fprintf(f, "end");
  fclose(f);
  struct stat st;
  check("stat", stat("/tmp/d/f", &st));
  printf("size %lld, regular %d\n", (long long)st.st_size, S_ISREG(st.st_mode));
  check("rename", rename("/tmp/d/f", "/tmp/g"));
  check("symlink", symlink("/tmp/g", "/tmp/l"));
  check("rmdir of tmp", rmdir("/tmp"));
  list("/tmp");
  check("truncate", truncate("/tmp/g", 5));
  check("unlink", unlink("/tmp/g"));
  check("rmdir", rmdir("/tmp/d"));
  check("chdir", chdir("/data"));
  f = fopen("words", "r");
  printf("relative %s\n", f ? "ok" : strerror(errno));
  f = fopen("../../data/words", "r");
  printf("upwards %s\n", f ? "ok" : strerror(errno));

  struct timespec from, to, half = {0, 500000000};
  clock_gettime(CLOCK_MONOTONIC, &from);
  check("sleep", nanosleep(&half, 0));
  clock_gettime(CLOCK_MONOTONIC, &to);
  long long slept = (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec;
  printf("slept %s\n", slept >= 500000000 && slept < 501000000 ? "half a second" : "wrongly");
  time_t now = time(0);
  struct tm *tm = gmtime(&now);
  printf("date %d-%02d-%02d\n", tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday);
  struct pollfd p[2] = {{0, POLLIN, 0}, {1, POLLOUT, 0}};
  printf("poll %d %d %d\n", poll(p, 2, 1000), p[0].revents != 0, p[1].revents != 0);
  unsigned char r[4];
  check("random", getentropy(r, sizeof r));
  printf("random %02x%02x%02x%02x\n", r[0], r[1], r[2], r[3]);
  fprintf(stderr, "to the log\n");
  exit(3);
}
