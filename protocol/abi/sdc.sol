// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Orders of tasks: the precompiled contract "sdc" at 0x0000000000000000000000000000000000005305. chain/x/sdc/DESIGN.md says what they are.
interface Orders {
    /// Orders a run of a task by its text (`stratos order create MODULE ARGUMENT... --text`) at a level, pair 3 or quorum 4, to be claimed within so
    /// many blocks. The value is the price; it comes back when nobody answers.
    function order(bytes calldata text, uint32 level, uint64 blocks) external payable returns (uint64 number);

    /// Takes an order for 600 blocks. The value is a bond, as much as its price.
    function claim(uint64 number) external payable;

    /// Brings what more than two thirds of the authorities have signed, and pays price and bond to who has claimed.
    function answer(uint64 number, bytes calldata attestation, bytes20[] calldata signers, bytes[] calldata signatures) external;

    /// Ends a claim, or an order, that has had its time.
    function close(uint64 number) external;

    /// status: open 1, claimed 2, answered 3, returned 4.
    function orderOf(uint64 number) external view
        returns (address owner, bytes32 task, uint32 level, uint256 price, uint64 until, uint8 status, address taker, uint64 claims, uint64 claimUntil);

    /// How the task ended, when status is 3: end 0 is that it exited, with this code; others are traps and what it ran out of. output is the BLAKE3 of
    /// what it has written.
    function resultOf(uint64 number) external view
        returns (uint8 status, uint32 end, uint32 code, uint64 fuel, uint64 outputBytes, bytes32 output);

    function textOf(uint64 number) external view returns (bytes memory text);

    function openOrders(uint64 afterNumber, uint32 limit) external view returns (uint64[] memory numbers);
}
