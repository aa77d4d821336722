// The least that a function can be.
#include <stdio.h>

int main(void) { puts("Content-Type: text/plain\n\nhello"); }
