// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import "sdc.sol";

/// Two bet on what a program says: one that it exits with 0, the other that it does not. The network runs it; the contract pays the winner.
contract Wager {
    Orders constant orders = Orders(0x0000000000000000000000000000000000005305);

    address payable public immutable zero;
    address payable public immutable other;
    uint64 public number; // of the order
    bytes32 public output; // BLAKE3 of what the program has written
    bool public paid;

    /// The value is the stake.
    constructor(address payable zero_, address payable other_) payable {
        (zero, other) = (zero_, other_);
    }

    /// Orders the run, at level quorum, for the value of the call. It can be ordered again when nobody has answered.
    function ask(bytes calldata text, uint64 blocks) external payable {
        if (number != 0) {
            (uint8 status, , , , , ) = orders.resultOf(number);
            require(status == 4, "it is asked already");
        }
        number = orders.order{value: msg.value}(text, 4, blocks);
    }

    /// Pays the stake to the winner, when the network has answered. A run that did not come to its end pays nobody.
    function settle() external {
        (uint8 status, uint32 end, uint32 code, , , bytes32 out) = orders.resultOf(number);
        require(status == 3, "there is no answer yet");
        require(end == 0, "the program did not come to its end");
        require(!paid, "it is paid");
        (paid, output) = (true, out);
        (code == 0 ? zero : other).transfer(address(this).balance);
    }
}
