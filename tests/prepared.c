// Starts the program for a test without loading libtorch each time, which is most of a short command's time: one
// process loads it, stops before `main`, and is forked for each command. Loaded before all other libraries (LD_PRELOAD)
// this file makes the program that process; compiled with -DCLIENT it is the command that a test starts instead of the
// program.
//
// The program gets the client's arguments, environment, working folder, and standard input, output and error, and the
// signals HUP, INT and TERM; it ends when the client is killed, and the client ends as the program does. Other things are
// the first process': limits, what libraries read from the environment while they are loaded, what runs before `main`,
// and where everything lies in memory. Tests of these start the program itself.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES = 4 }; // standard input, output and error, and the working folder

struct Message {
  size_t arguments, variables, bytes; // the counts of the strings, and the length of all of them with their ends
};

static void must(int succeeded, const char *what) {
  if (succeeded) return;
  perror(what);
  _exit(125);
}

static void transfer(ssize_t (*step)(int, void *, size_t), int connection, void *data, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t more = step(connection, (char *)data + done, length - done);
    must(more > 0, "the other side");
    done += more;
  }
}

#ifdef CLIENT

static ssize_t write_some(int file, void *data, size_t length) { return send(file, data, length, MSG_NOSIGNAL); }

static size_t append(char *text, size_t at, char **strings, size_t *count) {
  for (*count = 0; strings[*count]; ++*count) {
    size_t length = strlen(strings[*count]) + 1;
    if (text) memcpy(text + at, strings[*count], length);
    at += length;
  }
  return at;
}

static pid_t program;

static void forward(int signal) { kill(program, signal); }

// start NAME PROGRAM [ARGUMENTS]: asks the process that listens at this (abstract) address.
int main(int count, char **arguments, char **environment) {
  must(count > 2, "start NAME PROGRAM [ARGUMENTS]");
  struct Message message;
  size_t end = append(NULL, 0, arguments + 2, &message.arguments);
  message.bytes = append(NULL, end, environment, &message.variables);
  char *text = malloc(message.bytes);
  append(text, append(text, 0, arguments + 2, &message.arguments), environment, &message.variables);

  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(arguments[1]);
  must(length + 1 < sizeof address.sun_path, "the address is too long");
  memcpy(address.sun_path + 1, arguments[1], length);
  int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + length;
  must(connect(connection, (struct sockaddr *)&address, size) == 0, "connect");

  int files[FILES] = {0, 1, 2, open(".", O_PATH | O_DIRECTORY)};
  char control[CMSG_SPACE(sizeof files)] = {0};
  struct iovec part = {&message, sizeof message};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  *CMSG_FIRSTHDR(&header) = (struct cmsghdr){CMSG_LEN(sizeof files), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), files, sizeof files);
  must(sendmsg(connection, &header, MSG_NOSIGNAL) == sizeof message, "sendmsg");
  transfer(write_some, connection, text, message.bytes);

  // The program holds them now; a reader must see their end when the program closes them.
  for (int file = 0; file < 2; file++) close(file);
  transfer(read, connection, &program, sizeof program);
  struct sigaction action = {.sa_handler = forward, .sa_flags = SA_RESTART};
  for (int at = 0; at < 3; at++) sigaction((int[]){SIGHUP, SIGINT, SIGTERM}[at], &action, NULL);
  int status;
  transfer(read, connection, &status, sizeof status);
  if (WIFSIGNALED(status)) {
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
  }
  return WEXITSTATUS(status);
}

#else

typedef int Main(int, char **, char **);
static Main *program;

static char **strings(char **text, size_t count) {
  char **found = calloc(count + 1, sizeof *found);
  for (size_t at = 0; at < count; at++) {
    found[at] = *text;
    *text += strlen(*text) + 1;
  }
  return found;
}

// Runs the program as the client asks, in a process of its own; sends its status.
static int run(int connection) {
  struct Message message;
  int files[FILES];
  char control[CMSG_SPACE(sizeof files)];
  struct iovec part = {&message, sizeof message};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  must(recvmsg(connection, &header, MSG_CMSG_CLOEXEC) == sizeof message && CMSG_FIRSTHDR(&header), "recvmsg");
  memcpy(files, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof files);
  char *text = malloc(message.bytes);
  transfer(read, connection, text, message.bytes);

  int life[2]; // the program has one end; the other hears when it ends
  must(pipe2(life, O_CLOEXEC) == 0, "pipe");
  pid_t child = fork();
  must(child >= 0, "fork");
  if (child == 0) {
    close(connection);
    close(life[0]);
    must(fchdir(files[3]) == 0, "fchdir");
    for (int file = 0; file < 3; file++) dup2(files[file], file);
    for (int file = 0; file < FILES; file++) close(files[file]);
    char **arguments = strings(&text, message.arguments);
    environ = strings(&text, message.variables);
    return program(message.arguments, arguments, environ);
  }
  for (int file = 0; file < FILES; file++) close(files[file]);
  for (int file = 0; file < 3; file++) close(file);
  close(life[1]);
  send(connection, &child, sizeof child, MSG_NOSIGNAL);
  // Either the program ends, or the client, because it was killed.
  struct pollfd events[] = {{.fd = life[0]}, {.fd = connection}};
  if (poll(events, 2, -1) > 0 && events[1].revents) kill(child, SIGKILL);
  int status;
  must(waitpid(child, &status, 0) == child, "waitpid");
  send(connection, &status, sizeof status, MSG_NOSIGNAL);
  _exit(0);
}

// Takes the clients that connect to standard input, until nobody reads standard output any more.
static int serve(int count, char **arguments, char **environment) {
  (void)count, (void)arguments, (void)environment;
  must(write(1, "", 1) == 1, "standard output"); // it is ready
  for (;;) {
    struct pollfd events[] = {{.fd = 0, .events = POLLIN}, {.fd = 1}};
    must(poll(events, 2, 1000) >= 0, "poll");
    while (waitpid(-1, NULL, WNOHANG) > 0) {}
    if (events[1].revents) _exit(0);
    if (!events[0].revents) continue;
    int connection = accept4(0, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) continue;
    struct ucred client = {.uid = -1};
    getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &client, &(socklen_t){sizeof client});
    if (client.uid == geteuid() && fork() == 0) return run(connection);
    close(connection);
  }
}

// glibc's start of a program calls this with its `main`, after the libraries have been loaded.
int __libc_start_main(Main *main, int count, char **arguments, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack) {
  int (*start)(Main *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *) =
      dlsym(RTLD_NEXT, "__libc_start_main");
  program = main;
  return start(serve, count, arguments, init, fini, loader_fini, stack);
}

#endif
