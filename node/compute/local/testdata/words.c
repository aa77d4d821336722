// words.c is a map: of each line it writes each word with a 1, as key TAB value. Built by build.sh.
#include <stdio.h>

int main(void) {
	int c, in = 0;
	while ((c = getchar()) != EOF) {
		int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (letter) putchar(c >= 'A' && c <= 'Z' ? c + 32 : c);
		else if (in) fputs("\t1\n", stdout);
		in = letter;
	}
	if (in) fputs("\t1\n", stdout);
	return 0;
}
